"""Complex measurements, as of magnetic resonance imaging, as real ones of two parts."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.noise import Noise, scale_noise
from rgmkit.errors import IncompatibleError


def split_complex(y: Tensor, degradation: Degradation, device: torch.device) -> tuple[Tensor, Degradation, bool]:
    """Return a complex measurement as real values, its degradation, and whether the image is complex.

    If `A` maps real images to complex values, real and imaginary part become a new second axis, see `RealParts`. If it
    maps real images, or images of two channels (real, imaginary), to measurements whose second axis is (real,
    imaginary), as the operators of deepinv do, y becomes such a measurement: (B, H, W) or (B, 1, H, W) becomes
    (B, 2, H, W), several coils (B, N, H, W) become (B, 2, N, H, W).

    Args:
        y: the measurement.
        degradation: with which it was measured.
        device: that of the degradation.

    Raises:
        IncompatibleError: if `A` does neither.
    """
    if not y.is_complex():
        return y, degradation, False
    one = y[:1].to(device)
    if _measures(degradation, one) is not None:
        return _split(y), RealParts(degradation), False
    for parts in (_split, *([lambda y: _split(y[:, 0])] if y.shape[1] == 1 else [])):
        shape = _measures(degradation, parts(one))
        if shape is not None and len(shape) == 4 and shape[1] in (1, 2):
            return parts(y), degradation, shape[1] == 2
    raise IncompatibleError(
        f"the measurement is complex, of shape {tuple(y.shape)}, and {degradation.title} gives neither complex values "
        f"of this shape nor their real and imaginary parts, (B, 2, …): check its shape and the operator's image_shape"
    )


@final
class RealParts(Degradation):
    """An operator from real images to complex values, as one to their real and imaginary parts (B, 2, …).

    The std of complex noise is that of both parts together.
    """

    def __init__(self, degradation: Degradation) -> None:
        noise = degradation.noise
        super().__init__(noise=NoiseOfParts(noise) if isinstance(noise, Noise) else scale_noise(noise, math.sqrt(0.5)))
        self.degradation = degradation
        self.linear = degradation.linear  # type: ignore[misc]  # known here only
        self.linearisable = degradation.linearisable  # type: ignore[misc]

    @property
    def title(self) -> str:
        """That of the operator."""
        return self.degradation.title

    def A(self, x: Tensor) -> Tensor:
        """Apply the operator; return real and imaginary parts (B, 2, …)."""
        return _split(self.degradation.A(x))

    def image_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the images whose measurements have the parts `y_shape`."""
        return self.degradation.image_shape((y_shape[0], *y_shape[2:]))

    def embed(self, y: Tensor) -> Tensor:
        """Return the real part of what the operator embeds."""
        return self.degradation.embed(_join(y)).real


@final
class NoiseOfParts(Noise):
    """The noise of the real and imaginary parts (B, 2, …) of complex values: each has half of the variance."""

    def __init__(self, noise: Noise) -> None:
        self.noise = noise
        self.depends_on_signal, self.correlated = noise.depends_on_signal, noise.correlated  # type: ignore[misc]

    @property
    def known(self) -> bool:
        """Whether the parameters of the model are known."""
        return self.noise.known

    def variance(self, Ax: Tensor) -> Tensor:
        """Return half of the variance of the complex values, for both parts."""
        values = _join(Ax)
        return self.noise.variance(values).expand(values.shape)[:, None] / 2

    def whiten(self, residual: Tensor, Ax: Tensor) -> Tensor:
        """Whiten the complex values."""
        return math.sqrt(2) * _split(self.noise.whiten(_join(residual), _join(Ax)))

    def colour(self, white: Tensor, Ax: Tensor) -> Tensor:
        """Colour the complex values."""
        return math.sqrt(0.5) * _split(self.noise.colour(_join(white), _join(Ax)))

    def power(self, Ax: Tensor) -> Tensor | None:
        """Return half of the power spectrum of the complex values."""
        power = self.noise.power(_join(Ax))
        return None if power is None else power / 2


def _join(parts: Tensor) -> Tensor:
    return torch.complex(parts[:, 0], parts[:, 1])


def _split(y: Tensor) -> Tensor:
    return torch.view_as_real(y).movedim(-1, 1).contiguous()


def _measures(degradation: Degradation, y: Tensor) -> tuple[int, ...] | None:
    """Return the shape of the real images that `A` maps to the shape and kind of `y`; None if there is none."""
    try:
        shape = degradation.image_shape(tuple(y.shape))
        with torch.no_grad():
            Ax = degradation.A(torch.zeros(1, *shape[1:], dtype=y.real.dtype, device=y.device))
    except Exception:  # an operator may raise anything for another shape
        return None
    return shape if Ax.shape[1:] == y.shape[1:] and Ax.is_complex() == y.is_complex() else None
