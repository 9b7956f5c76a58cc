"""Restorers `G(y, t, z)` and discriminators `D(x, t)`. `t` is the target level, 0 … T-1."""
