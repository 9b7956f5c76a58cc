"""The demonstration: one trained network restores held-back digits and generates new ones."""

from rgmkit.demo.main import run

__all__ = ["run"]
