"""Adapt a network to an image: in tiles, channel by channel, or to grey images."""

from rgmkit.adapters.channels import note_lost_colours
from rgmkit.adapters.fitting import fit_prior

__all__ = ["fit_prior", "note_lost_colours"]
