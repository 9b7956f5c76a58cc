"""A sensor with a Bayer mosaic; the inverse problem is demosaicing."""

from __future__ import annotations

from typing import Literal, final, get_args

import torch
from torch import Tensor
from torch.nn.functional import pixel_unshuffle

from rgmkit.core.constants import cached_constant
from rgmkit.core.degradation import Degradation
from rgmkit.core.fourier import widen
from rgmkit.core.linear import per_image
from rgmkit.core.noise import NoiseLike
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit_raw.demosaic import interpolate_bilinear, interpolate_with_gradients

Pattern = Literal["RGGB", "BGGR", "GRBG", "GBRG"]


@final
class Bayer(Degradation):
    """`y = sum_c m_c x_c + noise * e`: (B, 3, H, W) to (B, 1, H, W), one colour at each pixel of a raw picture.

    The masks m_c repeat the four colours of the pattern. All singular values are 1, so that adjoint, prox and pinv are
    closed forms. Values are linear in the light, without black level and white balance.

    Severity s blends the image with its bilinear demosaicing.

    Args:
        pattern: the colours of the four pixels at the top left, row by row: RGGB, BGGR, GRBG or GBRG.
        noise: standard deviation of the noise, in units of the [0, 1] image.

    Raises:
        ConfigError: if there is no such pattern.

    >>> x = torch.tensor([0.9, 0.5, 0.1]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    >>> Bayer(pattern="GRBG").A(x)
    tensor([[[[0.5000, 0.9000],
              [0.1000, 0.5000]]]])
    """

    def __init__(self, *, pattern: Pattern = "RGGB", noise: NoiseLike = 0.0) -> None:
        super().__init__(noise=noise)
        if pattern not in get_args(Pattern):
            raise ConfigError(f"pattern is {pattern!r}: give {', '.join(get_args(Pattern))}")
        self.pattern = pattern

    def A(self, x: Tensor) -> Tensor:
        """Return the colour of each pixel that the mosaic lets through.

        Raises:
            IncompatibleError: unless the image has three colours and even sides.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise IncompatibleError(
                f"bayer: an image (B, C, H, W) has 3 channels, not the shape {tuple(x.shape)}: give a colour image"
            )
        return (x * self._masks(x)).sum(1, keepdim=True)

    def image_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape with three channels.

        Raises:
            IncompatibleError: unless the measurement has one channel and even sides.
        """
        if len(y_shape) != 4 or y_shape[1] != 1:
            raise IncompatibleError(
                f"bayer: a raw picture (B, 1, H, W) has one channel, not the shape {tuple(y_shape)}: give the picture "
                f"before demosaicing, in grey"
            )
        self._check_size(*y_shape[2:])
        return y_shape[0], 3, *y_shape[2:]

    def usable_shape(self, image_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the largest shape with even sides."""
        return *image_shape[:-2], *(side - side % 2 for side in image_shape[-2:])

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `m_c y`."""
        return y * self._masks(y)

    def pinv(self, y: Tensor) -> Tensor:
        """Return `m_c y`."""
        return self.adjoint(y)

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """Return `(z + gamma y) / (1 + gamma)` where m_c is 1, and `z` elsewhere."""
        g = per_image(gamma, z)
        return ((z + g * y) / (1 + g)).where(self._masks(z) == 1, z)

    def embed(self, y: Tensor) -> Tensor:
        """Return the bilinear demosaicing of `y`."""
        return interpolate_bilinear(widen(y), self._masks(widen(y))).to(y.dtype)

    def initial_estimate(self, y: Tensor) -> Tensor:
        """Return the demosaicing of `y` by linear filters that use all colours; see `interpolate_with_gradients`."""
        self.image_shape(tuple(y.shape))  # raises if it is not a raw picture
        return interpolate_with_gradients(widen(y), self._masks(widen(y))).to(y.dtype)

    def noise_planes(self, y: Tensor) -> Tensor:
        """Return the four pictures of every second pixel."""
        return pixel_unshuffle(y, 2) if y.ndim == 4 else y

    def _masks(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        self._check_size(height, width)
        return masks(self.pattern, height, width, x.dtype, x.device)

    def _check_size(self, height: int, width: int) -> None:
        if height % 2 or width % 2:
            raise IncompatibleError(
                f"bayer: the pattern {self.pattern} repeats every 2 x 2 pixels, and the picture has {height} x {width} "
                f"(height x width): crop it to even sides, {height - height % 2} x {width - width % 2}"
            )


@cached_constant(maxsize=8)
def masks(pattern: str, height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return 1 where a pixel has a colour, else 0: (1, 3, height, width)."""
    tile = torch.tensor([["RGB".index(colour) for colour in pattern[i : i + 2]] for i in (0, 2)], device=device)
    colours = tile.repeat(height // 2, width // 2)
    return torch.stack([colours == c for c in range(3)])[None].to(dtype)
