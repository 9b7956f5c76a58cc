"""Degradations one after the other."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from rgmkit.core.degradation import Degradation
from rgmkit.core.fourier import widen
from rgmkit.core.noise import NoiseLike
from rgmkit.core.printable import show_option
from rgmkit.errors import ConfigError


@final
class Compose(Degradation):
    """`y = A_n ... A_2 A_1 x + noise * e`: the first of the list acts first.

    The noise is added once, after the last step: the later steps would colour noise of an earlier one, and the
    fidelity assumes white noise. The adjoint is `A_1^T A_2^T ... A_n^T`; prox and pinv use conjugate gradients.
    The composition is linear if every step is. At severity s each step has severity s.

    Args:
        of: the degradations, each without noise.
        noise: standard deviation, in units of the [0, 1] image.

    Raises:
        ConfigError: if `of` is empty, or a step has noise of its own.

    >>> import rgmkit
    >>> steps = [rgmkit.degradation("blur", std=1), rgmkit.degradation("downsample", factor=2)]
    >>> small = Compose(of=steps, noise=0.01)
    >>> small.A(torch.ones(1, 3, 8, 6)).shape, small.image_shape((1, 3, 4, 3))
    (torch.Size([1, 3, 4, 3]), (1, 3, 8, 6))
    """

    def __init__(self, *, of: list[Degradation], noise: NoiseLike = 0.0) -> None:
        super().__init__(noise=noise)
        if not of:
            raise ConfigError("of is empty: give one degradation or more")
        for i, step in enumerate(of):
            if step.noise:
                own = show_option(step.noise)
                raise ConfigError(
                    f"of[{i}], {type(step).__name__}, has noise {own}: set it to 0 (leave out gaussian-noise), and "
                    f"give it to the whole: {{use: compose, of: [...], noise: {own}}}"
                )
        self.of = nn.ModuleList(of)
        self.linear = all(step.linear for step in of)  # type: ignore[misc]  # for all steps, known here only
        self.linearisable = all(step.linear or step.linearisable for step in of)  # type: ignore[misc]

    @property
    def steps(self) -> list[Degradation]:
        """The degradations, in the order in which they act."""
        return [step for step in self.of if isinstance(step, Degradation)]

    def A(self, x: Tensor) -> Tensor:
        """`A_n ... A_1 x`."""
        for step in self.steps:
            x = step.A(x)
        return x

    def image_shape(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Invert the change of shape of every step, the last one first."""
        for step in reversed(self.steps):
            y_shape = step.image_shape(y_shape)
        return tuple(y_shape)

    def usable_shape(self, image_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the largest shape within `image_shape` (…, H, W) that every step can take.

        Raises:
            IncompatibleError: if there is none.
        """
        return *image_shape[:-2], *_fit_shape(self.steps, (1, *image_shape[-3:]))[-2:]

    def adjoint(self, y: Tensor) -> Tensor:
        """`A_1^T ... A_n^T y`."""
        self._require_linear("adjoint")
        for step in reversed(self.steps):
            y = step.adjoint(y)
        return y

    def pinv(self, y: Tensor) -> Tensor:
        """`A^+ y` by conjugate gradients."""
        return super().pinv(widen(y)).to(y.dtype)

    def prox(self, z: Tensor, y: Tensor, gamma: float | Tensor) -> Tensor:
        """`argmin_x gamma/2 |A x - y|^2 + 1/2 |x - z|^2` by conjugate gradients."""
        return super().prox(widen(z), widen(y), gamma).to(z.dtype)

    def embed(self, y: Tensor) -> Tensor:
        """`embed` of every step, the last one first."""
        for step in reversed(self.steps):
            y = step.embed(y)
        return y

    def noise_planes(self, y: Tensor) -> Tensor:
        """Return the planes of the last step."""
        return self.steps[-1].noise_planes(y)

    def estimate_noise(self, y: Tensor) -> float:
        """Estimate the noise as the last step does."""
        return self.steps[-1].estimate_noise(y)

    def at(self, severity: float) -> Degradation:
        """Compose the steps at this severity."""
        return Compose(of=[step.at(severity) for step in self.steps], noise=self.noise_at(severity))


def _fit_shape(steps: list[Degradation], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the largest shape within `shape` (1, C, H, W) that the steps can take, one after the other."""
    first, *rest = steps
    usable = first.usable_shape(shape)
    if all(type(step).usable_shape is Degradation.usable_shape for step in rest):
        return usable
    made = tuple(first.A(torch.zeros(usable)).shape)  # only A itself tells the shape of its result
    found = _fit_shape(rest, made)
    return usable if found == made else first.image_shape(found)
