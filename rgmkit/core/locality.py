"""What a network says of itself so that a large image may be restored in tiles."""

from __future__ import annotations

from dataclasses import dataclass

from rgmkit.errors import ConfigError


@dataclass(frozen=True)
class Locality:
    """A network whose answer at a pixel depends on the pixels around it alone, and everywhere in the same way.

    True of convolutions, pooling, and normalisation within one pixel; false of attention over the image
    and of normalisation over it (group, instance or layer norm). A network declares it as its attribute
    `locality`.

    Attributes:
        receptive_field: side in pixels of the square, centred on the pixel, that its answer depends on.
        multiple: pixels that an image may be shifted by for its answer to shift alike: the product of all strides.
        floats_per_pixel: numbers held at the peak of one evaluation, per pixel of one image.

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
