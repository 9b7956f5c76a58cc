"""Training a restorer: `train` reads a configuration, `loop` is the loop itself."""

from rgmkit.training.loop import train

__all__ = ["train"]
