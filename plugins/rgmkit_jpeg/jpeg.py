"""JPEG as a differentiable map."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, final, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from rgmkit.core.constants import cached_constant
from rgmkit.core.degradation import Degradation
from rgmkit.core.fourier import widen
from rgmkit.core.noise import NoiseLike
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit_jpeg.tables import CHROMINANCE, LUMINANCE, YCBCR, cosines, scale_table

Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]
TIE = 1e-3  # values this close to a half are rounded like a half
SWEEPS = 10  # to undo the interpolation of Cb and Cr, whose error falls by a quarter or more in each
BLOCKS = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}  # rows and columns of pixels per value of Cb and Cr


@final
class Jpeg(Degradation):
    """`y = decode(encode(x)) + noise * e` with baseline JPEG, for grey and colour images of any size.

    Encoding converts colours to YCbCr, averages Cb and Cr as the subsampling says, transforms blocks of 8 x 8 values
    (DCT) and rounds them to multiples of the tables of Rec. ITU-T T.81, annex K, scaled by libjpeg's
    quality rule. Decoding interpolates Cb and Cr bilinearly and clips. Images are padded to whole blocks by repeating
    the border, and each plane is rounded to 8 bits where the codec does so. On photographs the result
    differs from Pillow's by less than 0.6 grey values of 255 on average, by 0.1 to 0.4 at most qualities.

    The map is not linear and has no adjoint and no prox. The gradient of rounding and clipping is taken as that of the
    identity (straight-through), so that networks can be trained on it.

    At severity s the quality is `100 - s (100 - quality)`; severity 0 is the identity.

    Args:
        quality: 1 (worst) to 100.
        subsampling: of colour images: 4:4:4 (none), 4:2:2 (of columns) or 4:2:0 (of rows and columns).
        noise: standard deviation of the noise, in units of the [0, 1] image.

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
    linearisable: ClassVar[bool] = False  # a small change of the image changes nothing, or jumps
    default_solver: ClassVar[str | None] = "dequantise"

    def __init__(self, *, quality: float = 75.0, subsampling: Subsampling = "4:2:0", noise: NoiseLike = 0.0) -> None:
        super().__init__(noise=noise)
        if not 1 <= quality <= 100:
            raise ConfigError(f"quality is {quality}: give a number from 1 (worst) to 100")
        if subsampling not in get_args(Subsampling):
            raise ConfigError(f"subsampling is {subsampling!r}: give {', '.join(get_args(Subsampling))}")
        self.quality, self.subsampling = float(quality), subsampling

    def A(self, x: Tensor) -> Tensor:
        """Return the image after encoding and decoding.

        Raises:
            IncompatibleError: unless the image is grey or has three colours.
        """
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise IncompatibleError(
                f"jpeg: an image (B, C, H, W) has 1 or 3 channels, not the shape {tuple(x.shape)}: give a grey or a "
                f"colour image"
            )
        values = 255 * widen(x)
        decoded = self._compress_colour(values) if x.shape[1] == 3 else self._compress_luminance(values)
        return (_clip(_round(decoded), 0, 255) / 255).to(x.dtype)

    def at(self, severity: float) -> Degradation:
        """Return JPEG of a quality closer to 100; at severity 0 the identity."""
        if severity == 0:
            return super().at(severity)
        return self.with_options(quality=100 - severity * (100 - self.quality), noise=self.noise_at(severity))

    @property
    def smallest_step(self) -> float:
        """The smallest step of luminance, in units of the [0, 1] image."""
        return float(scale_table(LUMINANCE, self.quality).min()) / 255

    def find_cells(self, y: Tensor) -> list[Tensor]:
        """Return the quantised coefficients of compressed images, in steps of the tables of luminance and chrominance.

        Those of the image that was compressed differ by 1/2 at most: they lie in the same quantisation cell.
        """
        (luminance, _), *chrominance = self.split(y)
        found = [self.to_steps(luminance, "luminance").round()]
        for chroma, table in chrominance:
            shrunk = self.shrink(chroma)
            small = shrunk
            for _ in range(SWEEPS):  # undo the interpolation
                small = small + shrunk - self.shrink(self.enlarge(small))
            found.append(self.to_steps(small, table).round())
        return found

    def misfit(self, y: Tensor) -> float:
        """Return the rms distance of luminance coefficients from whole steps, .29 on average for another quality.

        Coefficients that are rounded to 0 are left out.
        """
        found = self.to_steps(self.split(y)[0][0], "luminance")
        found = found[found.abs() >= 0.5]
        return float((found - found.round()).square().mean().sqrt()) if len(found) else 0.0

    def find_quality(self, y: Tensor) -> int:
        """Return the quality from 1 to 95 that fits compressed images best, by the top left 512 x 512 pixels."""
        part = y[..., :512, :512]
        return min(range(1, 96), key=lambda quality: self.with_options(quality=quality).misfit(part))

    def project(self, x: Tensor, cells: list[Tensor], *, width: float = 1.0) -> Tensor:
        """Change images as little as possible, in YCbCr, until their coefficients lie in cells of `width` steps.

        The changes at the right and lower border of images whose sides are not multiples of a block are cropped.
        """
        planes = self.split(x)
        for i, ((plane, table), cell) in enumerate(zip(planes, cells, strict=True)):
            size = plane.shape[-2:]
            small = self.shrink(plane) if table == "chrominance" else plane
            found = self.to_steps(small, table)
            change = self.from_steps(found.clamp(cell - width / 2, cell + width / 2) - found, table)
            if table == "chrominance":
                rows, columns = BLOCKS[self.subsampling]
                change = change.repeat_interleave(rows, -2).repeat_interleave(columns, -1)
            planes[i] = plane + change[..., : size[0], : size[1]], table
        return self._merge(planes).to(x.dtype)

    def split(self, x: Tensor) -> list[tuple[Tensor, str]]:
        """Return luminance, and Cb and Cr of a colour image, all around 0, and the names of their tables."""
        values = 255 * widen(x)
        if x.shape[1] == 1:
            return [(values - 128, "luminance")]
        luminance, chroma = convert(values, "to YCbCr").split((1, 2), 1)
        return [(luminance - 128, "luminance"), (chroma, "chrominance")]

    def _merge(self, planes: list[tuple[Tensor, str]]) -> Tensor:
        luminance, *chroma = (plane for plane, _ in planes)
        values = torch.cat([luminance + 128, *chroma], 1)
        return (convert(values, "to RGB") if chroma else values) / 255

    def _compress_colour(self, rgb: Tensor) -> Tensor:
        """Compress the planes Y, Cb and Cr of RGB values (B, 3, H, W), 0 to 255."""
        height, width = rgb.shape[-2:]
        y, chroma = _round(convert(rgb, "to YCbCr")).split((1, 2), 1)
        small = self.shrink(chroma)
        # the codec rounds ties of these averages down and up in alternate columns
        bias = 2 * TIE * (2 * (torch.arange(small.shape[-1], device=small.device) % 2) - 1)
        small = self._compress_plane(small + bias, "chrominance")
        chroma = _round(self.enlarge(small))[..., :height, :width]
        return convert(torch.cat([self._compress_luminance(y), chroma], 1), "to RGB")

    def _compress_luminance(self, values: Tensor) -> Tensor:
        """Compress grey values (B, 1, H, W), 0 to 255."""
        return self._compress_plane(values - 128, "luminance") + 128

    def _compress_plane(self, values: Tensor, table: str) -> Tensor:
        """Compress values around 0, (B, C, H, W), by the quantised DCT of their blocks."""
        height, width = values.shape[-2:]
        back = self.from_steps(_round(self.to_steps(_round(values), table)), table)[..., :height, :width]
        return _clip(_round(back), -128, 127)

    def shrink(self, chroma: Tensor) -> Tensor:
        """Average Cb and Cr as the subsampling says."""
        block = BLOCKS[self.subsampling]
        return avg_pool2d(_pad(chroma, *block), block)

    def enlarge(self, chroma: Tensor) -> Tensor:
        """Interpolate Cb and Cr bilinearly to the pixels."""
        rows, columns = BLOCKS[self.subsampling]
        return interpolate(chroma, scale_factor=(float(rows), float(columns)), mode="bilinear")

    def to_steps(self, values: Tensor, table: str) -> Tensor:
        """Return the DCT of blocks of 8 x 8 values around 0 in steps of a table: (B, C, rows, columns, 8, 8)."""
        D = _constant("cosines", values)
        blocks = _pad(values, 8, 8).unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8)).transpose(-3, -2)
        return D @ blocks @ D.T / _constant(table, values, self.quality)

    def from_steps(self, coefficients: Tensor, table: str) -> Tensor:
        """Invert `to_steps`: (B, C, 8 rows, 8 columns)."""
        D = _constant("cosines", coefficients)
        blocks = D.T @ (coefficients * _constant(table, coefficients, self.quality)) @ D
        return blocks.transpose(-3, -2).flatten(-2).flatten(-3, -2)


CONSTANTS: dict[str, Callable[..., np.ndarray]] = {
    "to YCbCr": lambda: YCBCR,
    "to RGB": lambda: np.linalg.inv(YCBCR),
    "cosines": cosines,
    "luminance": lambda quality: scale_table(LUMINANCE, quality),
    "chrominance": lambda quality: scale_table(CHROMINANCE, quality),
}


def _constant(name: str, like: Tensor, *options: float) -> Tensor:
    return constant(name, like.dtype, like.device, *options)


@cached_constant(maxsize=64)  # of at most 8 x 8 values, for the levels of some processes
def constant(name: str, dtype: torch.dtype, device: torch.device, *options: float) -> Tensor:
    """Return one of the constants of JPEG."""
    return torch.from_numpy(CONSTANTS[name](*options)).to(dtype=dtype, device=device)


def convert(colours: Tensor, direction: str) -> Tensor:
    """Convert colours (B, 3, H, W) `to YCbCr`, with Cb and Cr around 0, or `to RGB`."""
    return torch.einsum("kc,bchw->bkhw", _constant(direction, colours), colours)


def _pad(x: Tensor, rows: int, columns: int) -> Tensor:
    """Repeat the last row and column of `x` up to multiples of `rows` and `columns`."""
    return pad(x, (0, -x.shape[-1] % columns, 0, -x.shape[-2] % rows), mode="replicate")


def _round(x: Tensor) -> Tensor:
    """Round `x`, ties away from 0 as in the codec, with the gradient of the identity.

    Pixels with integer values make many ties, whose rounding must not depend on the float error of a sum.
    """
    value = x.detach()
    return value.sign() * (value.abs() + 0.5 + TIE).floor() + (x - value)


def _clip(x: Tensor, least: float, most: float) -> Tensor:
    """Clip `x`, with the gradient of the identity."""
    return x.detach().clamp(least, most) + (x - x.detach())
