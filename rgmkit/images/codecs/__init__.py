"""Readers and writers of picture formats, one module each, with `decode(data)` and `encode(array)`."""

import numpy as np

Decoded = tuple[np.ndarray, tuple[str, ...]]
"""An array (H, W) or (H, W, C), and notes on what was not read."""
