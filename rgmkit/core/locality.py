"""What a network declares so that a large image can be restored in tiles."""

from __future__ import annotations

from dataclasses import dataclass

from rgmkit.errors import ConfigError


@dataclass(frozen=True)
class Locality:
    """The receptive field of a network that is local and shift-equivariant; its attribute `locality`.

    Convolutions, pooling and normalisation over the channels of one pixel are local; attention and normalisation over
    the image (group, instance or layer norm) are not.

    Attributes:
        receptive_field: side in pixels of the square, centred on a pixel, that the output at this pixel depends on.
        multiple: a shift of the input by this many pixels shifts the output alike: the product of all strides.
        floats_per_pixel: peak number of values in memory during an evaluation, per pixel of one image.

    >>> Locality(receptive_field=79, multiple=4).margin
    39
    """

    receptive_field: int
    multiple: int = 1
    floats_per_pixel: float = 1024.0

    def __post_init__(self) -> None:
        if self.receptive_field < 1 or self.multiple < 1 or not self.floats_per_pixel > 0:
            raise ConfigError(f"{self}: give a receptive field and a multiple of 1 or more, and a positive size")

    @property
    def margin(self) -> int:
        """How far the receptive field reaches from its centre, in pixels."""
        return self.receptive_field // 2
