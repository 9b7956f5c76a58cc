"""The command line. Each command imports what it needs when it runs, so that `rgmkit --help` is fast."""

from rgmkit.cli.app import main

__all__ = ["main"]
