"""`reelhook standin` and `reelhook demo`: the only door between the program and the stand-ins."""

from __future__ import annotations

from standin.cli import demo, standin

__all__ = ["demo", "standin"]
