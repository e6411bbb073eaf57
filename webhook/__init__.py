"""The ways in: whoever asks."""
