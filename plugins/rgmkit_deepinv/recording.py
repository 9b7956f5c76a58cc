"""Adapters for deepinv's samplers: a denoiser that records its results, and seeded random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from deepinv.models.base import Denoiser
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.core.random import Randomness, randn
from rgmkit.core.solver import Problem
from rgmkit.errors import IncompatibleError
from rgmkit.solvers.measurement import residual_entry
from rgmkit_deepinv.denoiser import RestoringDenoiser
from rgmkit_deepinv.explicit import ExplicitPrior
from rgmkit_deepinv.plug_and_play import PlugAndPlay


class RecordingDenoiser(Denoiser):
    """The prior of a problem as a denoiser that counts its evaluations and reports each result.

    Args:
        problem: the problem that is solved.
        generator: of the auxiliary variable z.
        report: called with the number of the result, from 1, and the result.
    """

    def __init__(self, problem: Problem, generator: Randomness, report: Callable[[int, Tensor], None]) -> None:
        super().__init__()
        self.problem, self.report = problem, report
        self.denoise, self.count = _make_denoiser(problem, generator)
        self.trace: list[dict[str, float]] = []
        self.evaluations = 0

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Denoise `x` at the noise std `sigma`."""
        result = self.denoise(x, torch.as_tensor(sigma, dtype=x.dtype, device=x.device).flatten().expand(len(x)))
        if x.requires_grad and not result.requires_grad:
            name = type(self.problem.prior).__name__
            raise IncompatibleError(f"DPS needs gradients, and the prior {name} has none: use deepinv.DiffPIR")
        self.evaluations += self.count(sigma)
        reported = result.detach().to(cast(Tensor, self.problem.y).dtype)
        self.trace.append({"sigma": float(torch.as_tensor(sigma).max()), **residual_entry(reported, self.problem)})
        self.report(len(self.trace), reported)
        return result


def _make_denoiser(
    problem: Problem, generator: Randomness
) -> tuple[Callable[[Tensor, Tensor], Tensor], Callable[[float | Tensor], int]]:
    """Return `D(x, sigma)` in the precision of the problem, and the number of its network evaluations at a sigma."""
    prior, y = problem.prior, cast(Tensor, problem.y)
    if isinstance(prior, RestoringPrior):
        denoiser, latent = RestoringDenoiser(prior), prior.latent
        return lambda x, sigma: denoiser(x, sigma, z=randn((len(x), latent), generator=generator)), denoiser.evaluations
    if isinstance(prior, ExplicitPrior):
        prior = prior.with_default_weight(problem)

    def denoise(x: Tensor, sigma: Tensor, prior: Prior = prior) -> Tensor:
        return prior.prox(x.to(y.dtype), sigma.to(y.dtype).square(), generator=generator).to(x.dtype)

    return denoise, lambda sigma: int(isinstance(prior, PlugAndPlay))


class SeededDraws(TorchFunctionMode):
    """While active, normal draws without a generator use the given one in place of torch's global generator."""

    def __init__(self, generator: Randomness) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.randn and kwargs.get("generator") is None:
            return self._draw(args[0], kwargs.get("dtype"), kwargs.get("device"))
        if function is torch.randn_like:
            return self._draw(args[0].shape, args[0].dtype, args[0].device)
        if function is torch.Tensor.normal_ and kwargs.get("generator") is None:
            return args[0].copy_(self._draw(args[0].shape, args[0].dtype, args[0].device))
        return function(*args, **kwargs)

    def _draw(self, shape: Any, dtype: torch.dtype | None, device: Any) -> Tensor:
        return randn(tuple(shape), generator=self.generator, dtype=dtype, device=device)
