"""Blur with a Gaussian, a straight motion, or a kernel from a file."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Literal, final

from rgmkit.core.degradation import Degradation
from rgmkit.core.noise import NoiseLike
from rgmkit.errors import ConfigError
from rgmkit_blur.borders import Boundary
from rgmkit_blur.convolution import Convolution
from rgmkit_blur.kernels import Gaussian, Motion, read_kernel

SHAPES = {"gaussian": Gaussian, "motion": Motion}


@final
class Blur(Convolution):
    """Convolution `y = k * x + noise * e` with a Gaussian, a straight motion, or a kernel from a file.

    Adjoint, prox and pinv are those of `Convolution`. At severity s the Gaussian has the std `s * std`, the motion
    the length `s * length`; with a kernel from a file the blurred image is blended with the image.

    Args:
        kernel: gaussian, motion, or the path of an image whose grey values are the kernel.
        std: of the Gaussian, in pixels, truncated at 4 std. Default: 2.
        length: of the motion, in pixels. Default: 9.
        angle: of the motion, in degrees counter-clockwise from the horizontal. Default: 0.
        boundary: how the image is extended beyond its border: circular, reflect, mirror, replicate or valid; see
            `Convolution`.
        noise: standard deviation of the noise, in units of the [0, 1] image.

    Raises:
        ConfigError: for an option of another kernel, such as `angle` with a Gaussian.
        DataError: if the kernel's file cannot be used.

    >>> import torch
    >>> blur = Blur(kernel="motion", length=3)
    >>> x = torch.tensor([[9.0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])[None, None]
    >>> blur.A(x).round().int()[0, 0]
    tensor([[6, 3, 0, 0, 0],
            [0, 0, 0, 0, 0]], dtype=torch.int32)
    """

    def __init__(
        self,
        *,
        kernel: Literal["gaussian", "motion"] | Path = "gaussian",
        std: float | None = None,
        length: float | None = None,
        angle: float | None = None,
        boundary: Boundary = "reflect",
        noise: NoiseLike = 0.0,
    ) -> None:
        given = {"std": std, "length": length, "angle": angle}
        shape = _build_shape(str(kernel), {name: value for name, value in given.items() if value is not None})
        super().__init__(taps=shape.kernel() if shape else read_kernel(Path(kernel)), boundary=boundary, noise=noise)
        self.kernel, self.shape = kernel, shape
        self.std, self.length, self.angle = (getattr(shape, name, None) for name in ("std", "length", "angle"))

    def at(self, severity: float) -> Degradation:
        """Return a narrower Gaussian or a shorter motion; with a kernel from a file, the blend with the image."""
        if self.shape is None:
            return super().at(severity)
        size = "std" if isinstance(self.shape, Gaussian) else "length"
        return self.with_options(**{size: severity * getattr(self, size)}, noise=self.noise_at(severity))


def _build_shape(kernel: str, options: dict[str, float]) -> Gaussian | Motion | None:
    """Build the named kernel with its options; return None for a file."""
    cls = SHAPES.get(kernel)
    own = [field.name for field in fields(cls)] if cls else []
    for name in options:
        if name not in own:
            owner = next(other for other, c in SHAPES.items() if name in {field.name for field in fields(c)})
            raise ConfigError(f"{name} is an option of kernel={owner}, and kernel is {kernel}: remove it")
    return cls(**options) if cls else None
