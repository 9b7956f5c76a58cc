"""Restorers `G(y, t, z)` and discriminators `D(x, t)`. `t` is the level aimed at, 0 … T-1."""
