"""Missing pixels; the inverse problem is inpainting."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.constants import cached_constant
from rgmkit.core.degradation import Degradation
from rgmkit.core.fourier import widen
from rgmkit.core.holes import fill_holes
from rgmkit.core.linear import per_image
from rgmkit.core.noise import NoiseLike
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit_inpaint.masks import Box, Mask, Pixels, as_mask
from rgmkit_inpaint.noise import haar_std


@final
class Inpaint(Degradation):
    """`y = m * x + noise * e`: pixels where the mask m is 1 are known, the others are 0.

    The mask is the same for every channel and image. It comes from an image, is random, or omits a box; by default a
    box in the middle, half as high and wide as the image. Prox and pinv (`m * y`) are closed forms, and values of a
    measurement where m is 0 are ignored.

    At severity s the fraction `s` of the missing pixels is missing (a pixel known at one severity is known at all
    lower ones), or a box with `s` times the sides; with a mask from an image, the image is blended with its filled
    measurement.

    Args:
        mask: path of an image: known where it is white (the mean of the colours times alpha is at least 1/2, or 1 in
            an image of 0 and 1); in Python also an array (H, W), or a `Mask`.
        invert: whether the mask is white where pixels are missing.
        grow: number of pixels by which the missing regions of the mask are widened, in a square.
        keep: fraction of the pixels that are known, at random.
        seed: of the known pixels, which depend only on keep and (seed, height, width). Default: 0.
        box: the missing box, (top, left, height, width) in pixels, or (height, width) of one in the middle.
        noise: standard deviation of the noise, in units of the [0, 1] image.

    Raises:
        ConfigError: if more than one of mask, keep and box is given, `seed` without `keep`, or `invert` or `grow`
            without `mask`.
        DataError: if the mask's file cannot be used.

    Warns:
        UserWarning: if some pixels of the mask are neither black nor white.

    >>> hole = Inpaint(box=(0, 1, 1, 2))
    >>> y = hole.A(torch.tensor([[[[0.5, 0.6, 0.7, 0.9]]]]))
    >>> y
    tensor([[[[0.5000, 0.0000, 0.0000, 0.9000]]]])
    >>> hole.prox(torch.zeros_like(y), y, gamma=1.0)
    tensor([[[[0.2500, 0.0000, 0.0000, 0.4500]]]])
    """

    def __init__(
        self,
        *,
        mask: Path | Tensor | np.ndarray | Mask | None = None,
        invert: bool = False,
        grow: int = 0,
        keep: float | None = None,
        seed: int | None = None,
        box: tuple[int, int, int, int] | tuple[int, int] | None = None,
        noise: NoiseLike = 0.0,
    ) -> None:
        super().__init__(noise=noise)
        given = [name for name, value in {"mask": mask, "keep": keep, "box": box}.items() if value is not None]
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)} are given: keep one of them, for there is one mask")
        if seed is not None and keep is None:
            raise ConfigError(f"seed is {seed}, and nothing is random: give keep, too, or remove it")
        if (mask is None or isinstance(mask, Mask)) and (invert or grow):
            raise ConfigError(f"invert is {invert} and grow {grow}: they change a mask from an image: give mask")
        if grow < 0:
            raise ConfigError(f"grow is {grow}: give the number of pixels by which missing regions are widened")
        if mask is not None:
            self.mask = as_mask(mask, invert=invert, grow=grow)
        elif keep is not None:
            self.mask = Pixels(keep, seed or 0)
        else:
            self.mask = Box() if box is None else Box.of(box)

    def A(self, x: Tensor) -> Tensor:
        """Return `m * x`.

        Raises:
            IncompatibleError: if the size of the mask is not that of the image, or the box is not within the image.
        """
        return x.where(self._known(x), 0)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `m * y`."""
        return self.A(y)

    def pinv(self, y: Tensor) -> Tensor:
        """Return `m * y`."""
        return self.A(y)

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """Return `(z + gamma y) / (1 + gamma)` where m is 1, and `z` elsewhere."""
        g = per_image(gamma, z)
        return ((z + g * y) / (1 + g)).where(self._known(z), z)

    def embed(self, y: Tensor) -> Tensor:
        """Return the known pixels, with the holes filled by smooth averages; see `fill_holes`."""
        return fill_holes(widen(y), self._known(y)).to(y.dtype)

    def estimate_noise(self, y: Tensor) -> float:
        """Estimate the noise std from the known pixels of `y`; see `haar_std`.

        Raises:
            DataError: if too few known pixels are neighbours.
        """
        return haar_std(y, self._known(y))

    def at(self, severity: float) -> Degradation:
        """Return a mask with fewer missing pixels or a smaller box; with a mask from an image, the blend."""
        mask = self.mask.at(severity)
        if mask is None:
            return super().at(severity)
        return Inpaint(mask=mask, noise=self.noise_at(severity))

    def _known(self, x: Tensor) -> Tensor:
        return known(self.mask, x.shape[-2], x.shape[-1], x.device)


@cached_constant(maxsize=8)  # the levels of a process
def known(mask: Mask, height: int, width: int, device: torch.device) -> Tensor:
    """Return the known pixels as booleans (1, 1, height, width).

    Raises:
        IncompatibleError: if the mask does not fit the size, or nothing is known.
    """
    found = mask.known(height, width)
    if not found.any():
        raise IncompatibleError(
            f"inpaint: {mask} leaves nothing of an image of {height} x {width} pixels: let more pixels be known"
        )
    return torch.from_numpy(found.copy())[None, None].to(device)
