"""Networks that map a measurement to the image."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from rgmkit.core.prior import Prior
from rgmkit.errors import ConfigError, IncompatibleError


@final
class InverseNetwork(Prior):
    """A network that maps a measurement to the image, such as one for super-resolution or deblurring.

    It inverts the degradation that it was trained on, and takes neither the operator nor the noise of a problem. The
    solver `one-shot` evaluates it.

    Args:
        network: called as `network(y)`, with y (B, channels, H, W) in [0, 1].
        factor: of the sides of the image to those of the measurement.
        channels: that the network takes and returns, 1 or 3.
        title: its name in messages.
    """

    provides = frozenset({"invert"})
    differentiable = False
    models_colour = True

    def __init__(self, *, network: nn.Module, factor: int = 1, channels: int = 3, title: str = "the network") -> None:
        super().__init__()
        if factor < 1 or channels < 1:
            raise ConfigError(f"factor is {factor} and channels {channels}: give 1 or more")
        self.network, self.factor, self.channels, self.title = network, factor, channels, title

    def invert(self, y: Tensor) -> Tensor:
        """Estimate the image from the measurement `y`.

        If the channels of `y` are not those of the network, each is restored on its own, as a grey picture.
        """
        if y.shape[1] == self.channels:
            x: Tensor = self.network(y)
            return x
        grey = y.flatten(0, 1)[:, None].expand(-1, self.channels, -1, -1)
        return self.network(grey).mean(1).unflatten(0, y.shape[:2])

    def check_measurement(self, y: tuple[int, ...], x: tuple[int, ...], degradation: str) -> None:
        """Raise an IncompatibleError unless the network maps measurements of shape `y` to images of shape `x`."""
        if len(y) == 4 and y[1] == x[1] and (self.factor * y[2], self.factor * y[3]) == tuple(x[2:]):
            return
        task = "keeps the size of a picture" if self.factor == 1 else f"enlarges {self.factor} times"
        raise IncompatibleError(
            f"{self.title} {task}, and {degradation} maps {tuple(x[1:])} to {tuple(y[1:])}: give a degradation of the "
            f"factor {self.factor}, or another prior"
        )
