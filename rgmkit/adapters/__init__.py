"""Adapt a network to an image: in tiles, channel by channel, or to grey images."""

from rgmkit.adapters.fitting import fit_prior

__all__ = ["fit_prior"]
