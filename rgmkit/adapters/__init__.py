"""Adapt a network to an image: in tiles, channel by channel, or to grey images; and values to those of an image."""

from rgmkit.adapters.channels import note_lost_colours
from rgmkit.adapters.checkpointed import Checkpointed
from rgmkit.adapters.complex_values import split_complex
from rgmkit.adapters.fitting import fit_prior
from rgmkit.adapters.values import black_level, note_noise, relate_values

__all__ = [
    "Checkpointed",
    "black_level",
    "fit_prior",
    "note_lost_colours",
    "note_noise",
    "relate_values",
    "split_complex",
]
