"""The commands of `reelhook`, one module for each noun; webhook.cli names them all."""
