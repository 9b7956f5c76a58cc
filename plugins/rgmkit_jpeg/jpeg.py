"""JPEG as a differentiable map."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ClassVar, Literal, final, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from rgmkit.core.degradation import Degradation
from rgmkit.core.fourier import widen
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit_jpeg.tables import CHROMINANCE, LUMINANCE, YCBCR, cosines, scaled

Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]
TIE = 1e-3  # so near to a half counts as one
BLOCKS = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}  # rows and columns of pixels to one value of Cb and Cr


@final
class Jpeg(Degradation):
    """`y = decode(encode(x)) + noise * e` with baseline JPEG, for grey and colour images of any size.

    Colours become YCbCr, Cb and Cr are averaged as the subsampling says, blocks of 8 x 8 values are
    transformed (DCT) and rounded to multiples of the tables of Rec. ITU-T T.81, annex K, scaled by libjpeg's
    quality rule; the way back interpolates Cb and Cr bilinearly, and clips. The borders are
    repeated up to whole blocks, and each plane is rounded to 8 bits where the codec does so. On photographs it
    differs from what Pillow makes by less than 0.6 grey values of 255 in the mean, at most qualities by 0.1 to 0.4.

    It is not linear, has no adjoint and no prox. Gradients go straight through the rounding and the clipping,
    as though each were the identity, so that it can be trained on.

    Severity s has the quality `100 - s (100 - quality)`; at 0 it is the identity.

    Args:
        quality: 1 (worst) to 100.
        subsampling: of colour images: 4:4:4 (none), 4:2:2 (of columns) or 4:2:0 (of rows and columns).
        noise: standard deviation, in units of the [0, 1] image.

    Source: Rec. ITU-T T.81 (1992); the straight-through gradient: Bengio et al., 2013.

    >>> x = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8).requires_grad_()
    >>> y = Jpeg(quality=10).A(x)
    >>> round(float(255 * (y - x).detach().abs().mean()))
    3
    >>> y.sum().backward()
    >>> bool(torch.allclose(x.grad, torch.ones(1, 1, 8, 8)))
    True
    """

    linear: ClassVar[bool] = False

    def __init__(self, *, quality: float = 75.0, subsampling: Subsampling = "4:2:0", noise: float | None = 0.0) -> None:
        super().__init__(noise=noise)
        if not 1 <= quality <= 100:
            raise ConfigError(f"quality is {quality}: give a number from 1 (worst) to 100")
        if subsampling not in get_args(Subsampling):
            raise ConfigError(f"subsampling is {subsampling!r}: give {', '.join(get_args(Subsampling))}")
        self.quality, self.subsampling = float(quality), subsampling

    def A(self, x: Tensor) -> Tensor:
        """The image that comes back from the file.

        Raises:
            IncompatibleError: unless the image is grey or has three colours.
        """
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise IncompatibleError(
                f"jpeg: an image (B, C, H, W) has 1 or 3 channels, not the shape {tuple(x.shape)}: give a grey or a "
                f"colour image"
            )
        values = 255 * widen(x)
        back = self._colour(values) if x.shape[1] == 3 else self._plane(values - 128, "luminance") + 128
        return (_clipped(_rounded(back), 0, 255) / 255).to(x.dtype)

    def at(self, severity: float) -> Degradation:
        """A quality nearer to 100, without any loss at 0."""
        if severity == 0:
            return super().at(severity)
        return self.with_options(quality=100 - severity * (100 - self.quality), noise=self.noise_at(severity))

    def _colour(self, rgb: Tensor) -> Tensor:
        """The three planes of (B, 3, H, W) values, 0 to 255, on their own, and back."""
        height, width = rgb.shape[-2:]
        block = BLOCKS[self.subsampling]
        y, chroma = _rounded(_turned(rgb, "to YCbCr")).split((1, 2), 1)
        small = avg_pool2d(_padded(chroma, *block), block)
        # the codec breaks ties of these averages downwards and upwards, column by column
        lean = 2 * TIE * (2 * (torch.arange(small.shape[-1], device=small.device) % 2) - 1)
        small = self._plane(small + lean, "chrominance")
        chroma = _rounded(interpolate(small, scale_factor=tuple(map(float, block)), mode="bilinear"))[
            ..., :height, :width
        ]
        return _turned(torch.cat([self._plane(y - 128, "luminance") + 128, chroma], 1), "to RGB")

    def _plane(self, values: Tensor, table: str) -> Tensor:
        """Values around 0, (B, C, H, W), through the quantised DCT of their blocks."""
        height, width = values.shape[-2:]
        D, steps = _constant("cosines", values), _constant(table, values, self.quality)
        blocks = _padded(_rounded(values), 8, 8).unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8)).transpose(-3, -2)
        kept = _rounded(D @ blocks @ D.T / steps) * steps
        back = (D.T @ kept @ D).transpose(-3, -2).flatten(-2).flatten(-3, -2)[..., :height, :width]
        return _clipped(_rounded(back), -128, 127)


CONSTANTS: dict[str, Callable[..., np.ndarray]] = {
    "to YCbCr": lambda: YCBCR,
    "to RGB": lambda: np.linalg.inv(YCBCR),
    "cosines": cosines,
    "luminance": lambda quality: scaled(LUMINANCE, quality),
    "chrominance": lambda quality: scaled(CHROMINANCE, quality),
}


def _constant(name: str, like: Tensor, *options: float) -> Tensor:
    return constant(name, like.dtype, like.device, *options)


# Kept, so that operators stay free of state; 64 entries of at most 8 x 8 values hold the levels of some ladders.
@functools.lru_cache(maxsize=64)
@torch.inference_mode(mode=False)  # a constant made in inference mode could never be differentiated through
def constant(name: str, dtype: torch.dtype, device: torch.device, *options: float) -> Tensor:
    """One of the constants of JPEG."""
    return torch.from_numpy(CONSTANTS[name](*options)).to(dtype=dtype, device=device)


def _turned(colours: Tensor, way: str) -> Tensor:
    return torch.einsum("kc,bchw->bkhw", _constant(way, colours), colours)


def _padded(x: Tensor, rows: int, columns: int) -> Tensor:
    """`x` with its last row and column repeated up to multiples of `rows` and `columns`."""
    return pad(x, (0, -x.shape[-1] % columns, 0, -x.shape[-2] % rows), mode="replicate")


def _rounded(x: Tensor) -> Tensor:
    """`x` rounded, ties away from 0 as in the codec, with the gradient of the identity.

    Whole pixels make many ties, which the rounding error of a sum must not decide.
    """
    value = x.detach()
    return value.sign() * (value.abs() + 0.5 + TIE).floor() + (x - value)


def _clipped(x: Tensor, least: float, most: float) -> Tensor:
    """`x` clipped, with the gradient of the identity."""
    return x.detach().clamp(least, most) + (x - x.detach())
