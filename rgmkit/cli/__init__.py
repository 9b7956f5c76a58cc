"""The command line. Commands import what they need when they run: `rgmkit --help` is light."""

from rgmkit.cli.app import main

__all__ = ["main"]
