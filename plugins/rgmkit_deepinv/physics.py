"""Degradations as deepinv operators, and deepinv operators as degradations."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, final

import torch
from deepinv.physics import (
    DecomposablePhysics,
    GaussianNoise,
    LinearPhysics,
    NoiseModel,
    StackedLinearPhysics,
    StackedPhysics,
    ZeroNoise,
)
from deepinv.physics import Physics as DeepinvPhysics
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.holes import fill_holes
from rgmkit.core.linear import per_image
from rgmkit.core.linearised import Linearised
from rgmkit.core.noise import Noise, NoiseLike, white_std
from rgmkit.core.random import randn, seeded
from rgmkit.core.start import backproject
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit_deepinv.copying import copy_module

FAINT = 1e-7  # a pixel is not measured if `A^T A 1` is below this fraction of its maximum


def to_physics(degradation: Degradation, image_shape: tuple[int, ...]) -> LinearPhysics:
    """Convert a degradation to a deepinv `LinearPhysics` for images of `image_shape` (C, H, W).

    Its `A`, `A_adjoint`, `A_dagger` and `prox_l2` are `A`, `adjoint`, `pinv` and `prox` of a copy of the
    degradation; its noise model is that of the degradation. As everywhere in deepinv, calling it draws
    noise from torch's global generator.

    >>> import rgmkit
    >>> physics = rgmkit.degradation("downsample", factor=2).to_deepinv((1, 4, 6))
    >>> physics.A(torch.ones(2, 1, 4, 6)).shape
    torch.Size([2, 1, 2, 3])
    """
    return _DegradationPhysics(degradation, tuple(image_shape))


def unwrap(physics: Any) -> Degradation | None:
    """Return a copy of the degradation that `to_physics` converted; None for another operator or another noise."""
    if not isinstance(physics, _DegradationPhysics):
        return None
    if isinstance(physics.noise_model, _SampledNoise):
        return copy.deepcopy(physics.degradation)
    same = math.isclose(_noise_of(physics), white_std(physics.degradation.noise), rel_tol=1e-6)
    return copy.deepcopy(physics.degradation) if same else None


class _SampledNoise(NoiseModel):
    """A noise model of rgmkit; as everywhere in deepinv, it draws from torch's global generator."""

    def __init__(self, noise: Noise) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, Ax: Tensor, **options: Any) -> Tensor:
        return self.noise.sample(Ax, generator=torch.default_generator)


def _export_noise(noise: NoiseLike) -> NoiseModel:
    if isinstance(noise, Noise):
        return _SampledNoise(noise)
    return GaussianNoise(noise) if noise else ZeroNoise()


@final
class _DegradationPhysics(LinearPhysics):
    """A degradation with deepinv's interface; extra keywords (a noise std, options of a solver) are ignored."""

    def __init__(self, degradation: Degradation, image_shape: tuple[int, ...]) -> None:
        super().__init__(img_size=image_shape, noise_model=_export_noise(degradation.noise))
        self.degradation = copy.deepcopy(degradation)

    def clone(self) -> LinearPhysics:
        return copy_module(self)

    def A(self, x: Tensor, **options: Any) -> Tensor:
        return self.degradation.A(x)

    def A_adjoint(self, y: Tensor, **options: Any) -> Tensor:
        return self.degradation.adjoint(y)

    def A_dagger(self, y: Tensor, **options: Any) -> Tensor:
        return self.degradation.pinv(y)

    def prox_l2(self, z: Tensor | float | None, y: Tensor, gamma: float | Tensor, **options: Any) -> Tensor:
        if not isinstance(z, Tensor):
            z = torch.full_like(self.A_adjoint(y), 0.0 if z is None else z)
        return self.degradation.prox(z, y, gamma.flatten() if isinstance(gamma, Tensor) else gamma)


class PhysicsDegradation(Degradation):
    """`y = A x + noise * e` with the operator of a deepinv `LinearPhysics`: the base class of such degradations.

    A copy of the operator is taken and never changed. Prox and pinv are the operator's own where deepinv knows
    its singular values; otherwise they are computed by conjugate gradients, with the residual
    checked (deepinv stops at a relative residual of 1e-4 without a warning). Computations run in the precision
    of the operator, float32 unless `.double()` was called, and results have the precision of the argument.

    `embed` is the measurement itself if it looks like an image: it has the shape of one, and the measurement of
    a white image lies within (0, 1]. Else it is the back-projection `A^T y / A^T A 1`, which keeps the brightness of
    a constant image, also near a border that was cut off; pixels that were not measured are filled from their
    neighbours. If the measurement of a white image has negative values it is `A^T y / (|A|_F^2 / n)`.

    Args:
        physics: the operator.
        image_shape: of the images, (C, H, W); None: inferred from the operator.
        noise: standard deviation of the noise, in units of the measurement.
    """

    def __init__(self, physics: LinearPhysics, image_shape: tuple[int, ...] | None, noise: NoiseLike) -> None:
        super().__init__(noise=noise)
        self.physics = copy_module(physics)
        self.size = None if image_shape is None else tuple(int(n) for n in image_shape)

    def image_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return `(B, *image_shape)`."""
        return (y_shape[0], *(self._infer_shape(tuple(y_shape)) if self.size is None else self.size))

    def A(self, x: Tensor) -> Tensor:
        """Return the operator's `A`.

        Raises:
            IncompatibleError: if the images have another shape than the operator is for.
        """
        self._check_shape(x)
        return self._in_own_precision(self.physics.A, x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the operator's `A_adjoint`."""
        return self._in_own_precision(self.physics.A_adjoint, y)

    def pinv(self, y: Tensor) -> Tensor:
        """Return the operator's `A_dagger` if its singular values are known, or else use conjugate gradients."""
        return self._in_own_precision(self.physics.A_dagger, y) if self.has_closed_form_prox else super().pinv(y)

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """Return the operator's `prox_l2` if its singular values are known, or else use conjugate gradients.

        Its formula holds only if the singular vectors span all images, which those of `Decolorize` do not.
        """
        if self.has_closed_form_prox and self._in_own_precision(self.physics.V_adjoint, z[:1]).numel() >= z[0].numel():
            return self._in_own_precision(lambda z, y: self.physics.prox_l2(z, y, per_image(gamma, z)), z, y)
        return super().prox(z, y, gamma)

    @property
    def has_closed_form_prox(self) -> bool:
        """Whether the operator's singular values are known."""
        return isinstance(self.physics, DecomposablePhysics)

    def embed(self, y: Tensor) -> Tensor:
        """Return the measurement if it looks like an image, or else its normalised back-projection."""
        shape = self.image_shape(tuple(y.shape))
        image = torch.ones(1, *shape[1:], dtype=y.real.dtype, device=y.device)
        white = self.A(image)
        positive = not white.is_complex() and bool(white.min() >= 0)
        if positive and tuple(y.shape) == shape and white.min() > 0 and white.max() <= 1.01:
            return y
        noise = randn(image.shape, generator=seeded(0), dtype=image.dtype, device=y.device)
        gain, noise_gain = (float(Ax.abs().square().sum()) / image.numel() for Ax in (white, self.A(noise)))
        if positive and 2 * gain > noise_gain:  # an A with entries of both signs may nearly cancel a white image
            back = self.adjoint(white)
            measured = back > FAINT * back.max()
            return fill_holes(self.adjoint(y) / back.where(measured, 1), measured)
        return self.adjoint(y) / max(gain, noise_gain)

    def _check_shape(self, x: Tensor) -> None:
        shape = tuple(x.shape[1:])
        if self.size is not None and shape != self.size:
            raise IncompatibleError(
                f"{self.title} cannot measure an image of shape {shape}: it is for images of shape {self.size}"
            )

    def _in_own_precision(self, method: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
        """Call a method of the operator in its precision."""
        own = next((b.dtype for b in self.physics.buffers() if b.is_floating_point()), None)
        real = arguments[0].real.dtype
        if own is None or own == real or not real.is_floating_point:
            return method(*arguments)
        return _convert(method(*(_convert(argument, own) for argument in arguments)), real)

    def _infer_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the image, as the operator's adjoint gives it, or else its `img_size`."""
        like = next((b for b in self.physics.buffers() if b.is_floating_point() or b.is_complex()), torch.empty(0))
        try:
            with torch.no_grad():
                return tuple(self.physics.A_adjoint(like.new_zeros(1, *y_shape[1:])).shape[1:])
        except Exception as error:  # a foreign operator may raise anything for this shape
            size = getattr(self.physics, "img_size", None)
            if size is None or len(size) != 3:
                name = type(self.physics).__name__
                raise IncompatibleError(
                    f"the shape of the image behind a measurement {y_shape} by {name} is unknown ({error}): "
                    f"wrap it, rgmkit_deepinv.objects.from_deepinv(physics, image_shape=(C, H, W))"
                ) from error
            return tuple(int(n) for n in size)


@final
class Physics(PhysicsDegradation):
    """`y = A x + noise * e` with any single `LinearPhysics` of deepinv.

    Args:
        physics: the operator; a copy is taken.
        image_shape: of the images, (C, H, W). Default: the shape of the operator's adjoint, or else
            the operator's `img_size`.
        noise: standard deviation of the noise. Default: that of the operator's noise model, Gaussian or none.

    Raises:
        IncompatibleError: if the operator is not linear, or a stack of several; and, by the method `image_shape`, if
            the shape of the image is unknown.
        ConfigError: if the noise model is not Gaussian and `noise` is not given.

    >>> from deepinv.physics import Inpainting
    >>> mask = torch.tensor([[[1.0, 0.0, 1.0]]])
    >>> holes = Physics(physics=Inpainting(img_size=(1, 1, 3), mask=mask), noise=0.1)
    >>> holes.prox(torch.zeros(1, 1, 1, 3), torch.ones(1, 1, 1, 3), gamma=1.0)
    tensor([[[[0.5000, 0.0000, 0.5000]]]])
    """

    def __init__(
        self, *, physics: LinearPhysics, image_shape: tuple[int, ...] | None = None, noise: NoiseLike = None
    ) -> None:
        name = type(physics).__name__
        if not isinstance(physics, LinearPhysics) or isinstance(physics, StackedLinearPhysics):
            raise IncompatibleError(f"{name} is not a single deepinv LinearPhysics: pass one that is")
        super().__init__(physics, image_shape, _noise_of(physics) if noise is None else noise)

    @property
    def title(self) -> str:
        """The name of the operator's class, for messages."""
        return type(getattr(self.physics, "degradation", self.physics)).__name__


@final
class NonlinearPhysics(Degradation):
    """`y = A(x) + noise * e` with a `Physics` of deepinv that is not linear, such as `PhaseRetrieval`.

    Its derivative is found by autograd, as for any such operator. Images are real; an operator with complex tensors
    gets them as complex numbers.

    Args:
        physics: the operator, on one tensor; a copy is taken.
        image_shape: of the images, (C, H, W). Default: the operator's `img_size`, or else the shape of the measurement.
        noise: standard deviation of the noise, or a noise model. Default: that of the operator's noise model.

    Raises:
        IncompatibleError: if the operator is a stack.

    >>> from deepinv.physics import Physics
    >>> root = NonlinearPhysics(physics=Physics(A=torch.sqrt), noise=0.1)
    >>> root.initial_estimate(torch.full((1, 1, 2, 2), 0.6)).mean().round(decimals=1)
    tensor(0.4000)
    """

    linear = False

    def __init__(
        self, *, physics: DeepinvPhysics, image_shape: tuple[int, ...] | None = None, noise: NoiseLike = None
    ) -> None:
        if isinstance(physics, StackedPhysics):
            raise IncompatibleError(f"{type(physics).__name__} is a stack of operators: pass a single one")
        super().__init__(noise=_noise_of(physics) if noise is None else noise)
        self.physics = copy_module(physics)
        size = getattr(physics, "img_size", None) if image_shape is None else image_shape
        self.size = tuple(int(n) for n in size) if size is not None and len(size) == 3 else None

    @property
    def title(self) -> str:
        """The name of the operator's class, for messages."""
        return type(self.physics).__name__

    def image_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return `(B, *image_shape)`, by default `y_shape`."""
        return tuple(y_shape) if self.size is None else (y_shape[0], *self.size)

    def A(self, x: Tensor) -> Tensor:
        """Return the operator's `A`, in its precision.

        Raises:
            IncompatibleError: if it is not one real tensor.
        """
        dtypes = [b.dtype for b in self.physics.buffers() if b.is_floating_point() or b.is_complex()]
        own = max(dtypes, key=lambda dtype: dtype.is_complex, default=x.dtype)
        y = self.physics.A(x.to(own))
        if not isinstance(y, Tensor) or y.is_complex():
            raise IncompatibleError(
                f"{self.title} measures {type(y).__name__}s that are not one tensor of real numbers"
            )
        return y.to(x.dtype)

    def embed(self, y: Tensor) -> Tensor:
        """Return the measurement if it has the shape of the image, or back-project it by the derivative at grey."""
        shape = self.image_shape(tuple(y.shape))
        if shape == tuple(y.shape):
            return y
        linear = Linearised(self, torch.full((1, *shape[1:]), 0.5, dtype=y.dtype, device=y.device))
        return torch.cat([backproject(linear, y[i : i + 1]) for i in range(len(y))])


def _convert(x: Tensor, real: torch.dtype) -> Tensor:
    """Convert real numbers to the type `real`, and complex numbers to complex ones of this precision."""
    return x.to(real.to_complex() if x.is_complex() else real)


def _noise_of(physics: DeepinvPhysics) -> float:
    """Return the noise std of the operator's noise model."""
    model = physics.noise_model
    if isinstance(model, ZeroNoise):
        return 0.0
    if isinstance(model, GaussianNoise) and model.sigma.numel() == 1:
        return float(model.sigma)
    raise ConfigError(
        f"the noise of {type(physics).__name__} is {type(model).__name__}, not Gaussian with one std: "
        f"wrap it, rgmkit_deepinv.objects.from_deepinv(physics, noise=…), with a std or a noise model"
    )
