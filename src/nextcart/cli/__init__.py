"""The command line: a command parses, builds `Settings`, and makes one call."""

from __future__ import annotations

from nextcart.cli.main import main

__all__ = ["main"]
