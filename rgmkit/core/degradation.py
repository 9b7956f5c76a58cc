"""Degradations: `y = A x + noise`."""

from __future__ import annotations

import copy
import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch
from torch import Tensor, nn
from typing_extensions import Self

from rgmkit.core.accuracy import report_shortfall
from rgmkit.core.applying import apply_operator
from rgmkit.core.bridge import find_bridge
from rgmkit.core.linear import Operator, conjugate_gradients, per_image, vjp_adjoint
from rgmkit.core.noise import Noise, NoiseLike, check_noise, scale_noise
from rgmkit.core.noise_estimation import wavelet_std
from rgmkit.core.printable import Printable
from rgmkit.core.random import Randomness, randn
from rgmkit.core.start import backproject
from rgmkit.deprecation import RenamedAttribute, accept_old_property
from rgmkit.errors import ConfigError, DataError, IncompatibleError

if TYPE_CHECKING:
    import deepinv

RTOL = 1e-5  # relative residual at which the default prox and pinv stop, in float32 and float64 alike
MAX_STEPS = 500  # of conjugate gradients; a gamma of 1e5, as for a noise std of 1e-3, takes 150 to 300


class Degradation(Printable, nn.Module, ABC):
    """A measurement operator with noise: `y = A x + noise * e`, `e ~ N(0, I)`, or with noise of another model.

    Images are `(B, C, H, W)` floating-point tensors in [0, 1]. A subclass defines `A`, and `image_shape` if a
    measurement has another shape than its image. All other methods have generic defaults; a subclass may override them
    with faster ones that compute the same. Methods never change the object: every parameter, including a seed, is a
    keyword of the constructor.

    An operator that is not linear sets `linear = False`. It has no adjoint, pinv or prox; `gauss-newton` linearises it
    by autograd. If it also sets `linearisable = False`, as one that rounds does, it works with `one-shot` only.

    Args:
        noise: standard deviation of white noise, in units of the [0, 1] image; a noise model, such as
            `rgmkit.noise("poisson", photons=30)`; None: unknown, to be estimated from each measurement. As an
            attribute, white noise is a number.

    Raises:
        ConfigError: if the noise is negative or not finite.

    >>> class Mirror(Degradation):
    ...     "Reflect left to right."
    ...     def A(self, x):
    ...         return x.flip(-1)
    >>> mirror = Mirror(noise=0.1)
    >>> x = torch.rand(2, 3, 4, 5)
    >>> bool((mirror.adjoint(mirror.A(x)) == x).all())
    True
    """

    linear: ClassVar[bool] = True
    linearisable: ClassVar[bool] = True  # whether `A(x) + J d`, J the derivative at x, is near `A(x + d)` for a small d
    default_solver: ClassVar[str | None] = None  # with any prior that has a prox; None: chosen by operator and prior
    option_types: ClassVar[Mapping[str, Any]] = {"noise": NoiseLike}
    """Types of options of configurations, whatever the annotations of a constructor say."""

    noise: NoiseLike

    def __init__(self, *, noise: NoiseLike = 0.0) -> None:
        super().__init__()
        self.noise = noise

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "noise":
            value = check_noise(value)
        super().__setattr__(name, value)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        accept_old_property(cls, "closed_prox", "has_closed_form_prox")
        if "at" in vars(cls):
            cls.at = _within_range(cls.at)  # type: ignore[method-assign, assignment]

    @property
    def title(self) -> str:
        """The name used in messages: that of the class, or of the wrapped object."""
        return type(self).__name__

    @abstractmethod
    def A(self, x: Tensor) -> Tensor:
        """Apply the operator to a batch `(B, C, H, W)`, each image on its own; return `(B, ...)`."""

    def image_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the images whose measurements have `y_shape`. Default: the same."""
        return tuple(y_shape)

    def adjoint(self, y: Tensor) -> Tensor:
        """Apply the adjoint `A^T` to `y`. Default: the vector-Jacobian product of `A`."""
        self._require_linear("adjoint")
        return vjp_adjoint(self.A, y, self.image_shape(tuple(y.shape)))

    def pinv(self, y: Tensor) -> Tensor:
        """Compute `A^+ y`, the least-squares solution of least norm. Default: conjugate gradients.

        Warns:
            AccuracyWarning: if the relative residual of the normal equations stays above 1e-5.
        """
        self._require_linear("pinv")
        return _solve_by_conjugate_gradients(self._normal, self.adjoint(y), f"{self.title}.pinv")

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """Compute `argmin_x gamma/2 |A x - y|^2 + 1/2 |x - z|^2`; `gamma` is a number or a tensor `(B,)`.

        Default: conjugate gradients on `(I + gamma A^T A) x = z + gamma A^T y`, started at `z`.

        Warns:
            AccuracyWarning: if the relative residual stays above 1e-5.
        """
        self._require_linear("prox")
        g = per_image(gamma, z)
        b = z + g * self.adjoint(y)
        return _solve_by_conjugate_gradients(lambda x: x + g * self._normal(x), b, f"{self.title}.prox", x0=z)

    def embed(self, y: Tensor) -> Tensor:
        """Map `y` linearly to the shape of the image. Default: `y` itself."""
        return y

    def initial_estimate(self, y: Tensor) -> Tensor:
        """Return the image from which solvers start. Default: `A^T y / A^T A 1`, holes filled, see `backproject`.

        Of an operator that is not linear the default is an inexact inverse, see `fit_measurement`.

        >>> import rgmkit
        >>> blur = rgmkit.degradation("blur", std=1)
        >>> blur.initial_estimate(torch.full((1, 1, 4, 4), 0.3)).mean().round(decimals=4)
        tensor(0.3000)
        """
        if not self.linear:
            from rgmkit.core.linearised import fit_measurement  # which needs this class

            return fit_measurement(self, y)
        return backproject(self, y)

    @property
    def has_closed_form_prox(self) -> bool:
        """Whether `prox` takes no iterations. Default: whether it is overridden."""
        return type(self).prox is not Degradation.prox

    closed_prox = RenamedAttribute("has_closed_form_prox")

    def usable_shape(self, image_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the largest shape within `image_shape` (…, H, W) that `A` can take. Default: all of it."""
        return tuple(image_shape)

    @final
    def with_noise(self, noise: NoiseLike) -> Self:
        """Return the same operator with other noise; the tensors are shared."""
        other = copy.copy(self)
        other.noise = noise
        return other

    @final
    def with_options(self, **changes: Any) -> Self:
        """Construct the same operator with some options of the constructor changed.

        Raises:
            TypeError: if an option is not stored as an attribute of the same name.
        """
        options = _stored_options(self) | changes
        for name in inspect.signature(type(self)).parameters:
            if name not in options:
                raise TypeError(f"{self.title}.with_options needs the option {name!r} as an attribute: store it")
        return type(self)(**options)

    @final
    def noise_at(self, severity: float) -> NoiseLike:
        """Return the noise at a severity, whose std is `severity` times that of `noise`; None if it is unknown."""
        return scale_noise(self.noise, severity)

    def noise_planes(self, y: Tensor) -> Tensor:
        """Return the measurement as smooth images, from whose details the noise is estimated. Default: `y` itself."""
        return y

    def estimate_noise(self, y: Tensor) -> float:
        """Estimate the noise std of a measurement `y`. Default: from the finest wavelet details, see `wavelet_std`.

        Raises:
            DataError: if `y` is not a batch of images.
        """
        return wavelet_std(self.noise_planes(y), self.title)

    def at(self, severity: float) -> Degradation:
        """Return a milder degradation of the same family: severity 0 is the identity without noise, 1 this operator.

        Default: `A^(s) x = (1 - s) x + s embed(A x)` with noise `s * noise`. An override is called with severities in
        [0, 1) only, on an object whose noise is known: the base class checks the range, returns the object itself for
        severity 1, and keeps unknown noise unknown.

        Raises:
            ConfigError: if the severity lies outside [0, 1].
        """
        check_severity(severity)
        return self if severity == 1 else _Blend(self, severity)

    @final  # type: ignore[misc]  # torch declares forward as an attribute
    def forward(self, x: Tensor, *, generator: Randomness = None) -> Tensor:
        """Simulate a measurement: `A x + noise * e`, or a draw of the noise model; `A x` if the noise is unknown.

        Raises:
            DataError: if `x` is not a tensor of floats.
        """
        if not isinstance(x, Tensor) or not (x.is_floating_point() or x.is_complex()):
            what = f"a tensor of {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise DataError(f"{self.title} measures tensors of floats in [0, 1], not {what}: convert the image")
        y = apply_operator(self, x)
        if isinstance(self.noise, Noise):
            return self.noise.sample(y, generator=generator)
        if not self.noise:
            return y
        return y + self.noise * randn(y.shape, generator=generator, device=y.device, dtype=y.dtype)

    @final
    def to_deepinv(self, image_shape: tuple[int, ...]) -> deepinv.physics.LinearPhysics:
        """Convert to a deepinv `LinearPhysics` for images of `image_shape` (C, H, W)."""
        self._require_linear("to_deepinv")
        physics: deepinv.physics.LinearPhysics = find_bridge("deepinv").export_degradation(self, image_shape)
        return physics

    def _normal(self, x: Tensor) -> Tensor:
        return self.adjoint(self.A(x))

    def _require_linear(self, what: str) -> None:
        if not self.linear:
            raise IncompatibleError(
                f"{self.title} is not linear and has no {what}: use gauss-newton, or one-shot with a network"
            )


def _within_range(at: Callable[[Any, float], Degradation]) -> Callable[[Any, float], Degradation]:
    """Wrap the `at` of a subclass, so that it is called with severities in [0, 1) and with known noise only."""

    @functools.wraps(at)
    def checked(self: Degradation, severity: float) -> Degradation:
        check_severity(severity)
        if severity == 1:
            return self
        return at(self, severity) if self.noise is not None else at(self.with_noise(0.0), severity).with_noise(None)

    return checked


def _stored_options(degradation: Degradation) -> dict[str, Any]:
    """Return the options of the constructor that are attributes of the same name."""
    names = [name for name in inspect.signature(type(degradation)).parameters if hasattr(degradation, name)]
    values = {name: getattr(degradation, name) for name in names}
    return {name: value for name, value in values.items() if not inspect.ismethod(value)}


def check_severity(severity: float) -> None:
    """Raise a ConfigError unless `severity` lies in [0, 1]."""
    if not 0 <= severity <= 1:
        raise ConfigError(f"severity is {severity}: give a number from 0 (the identity) to 1 (the whole degradation)")


def _solve_by_conjugate_gradients(H: Operator, b: Tensor, name: str, **start: Any) -> Tensor:
    x, residual, _ = conjugate_gradients(H, b, rtol=RTOL, max_steps=MAX_STEPS, **start)
    worst = float(residual.detach().max()) if residual.numel() else 0.0
    if not worst <= RTOL:
        report_shortfall(name, worst, RTOL)
    return x


@final
class _Blend(Degradation):
    """`(1 - s) x + s embed(A x)`: between the identity and another degradation."""

    def __init__(self, end: Degradation, severity: float) -> None:
        super().__init__(noise=end.noise_at(severity))
        self.end, self.severity = end, severity
        self.linear, self.linearisable = end.linear, end.linearisable  # type: ignore[misc]  # known here only

    def A(self, x: Tensor) -> Tensor:
        return torch.lerp(x, self.end.embed(self.end.A(x)), self.severity)

    def at(self, severity: float) -> Degradation:
        return self.end.at(severity * self.severity)
