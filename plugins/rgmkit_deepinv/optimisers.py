"""deepinv's plug-and-play and diffusion methods, run by deepinv on rgmkit's problems."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, cast, final

import torch
from deepinv import optim, sampling
from deepinv.models.base import Denoiser
from deepinv.physics import LinearPhysics
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.core.random import Randomness, randn
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit.solvers.measurement import noise_of, residual
from rgmkit_deepinv.denoiser import RestoringDenoiser
from rgmkit_deepinv.objects import Plugged
from rgmkit_deepinv.priors import ExplicitPrior
from rgmkit_deepinv.solvers import Measured


class ByDenoising(Solver):
    """A method of deepinv that knows images by a denoiser `D(x, sigma)` of noise of any std.

    A trained model denoises as `RestoringPrior.to_deepinv` says, a prior with a prox by the prox of
    `sigma^2 g`. Below a noise of 1e-3 the noise counts as 1e-3. Everything random comes from the solver's
    generator, each image of a batch on its own.

    The trace has of each evaluation "sigma", the noise that was taken off, and "residual", the root mean square
    of A x - y of its answer x.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prox"})

    @abstractmethod
    def _run(self, denoiser: Denoiser, y: Tensor, physics: LinearPhysics, start: Tensor, noise: float) -> Tensor:
        """deepinv's method."""

    @abstractmethod
    def _evaluations(self) -> int:
        """How often it denoises."""

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        y, degradation = cast(Tensor, problem.y), cast(Degradation, problem.degradation)
        noise = noise_of(degradation)
        watched = _Watched(problem, generator, lambda k, x: callback(k, self._evaluations(), x))
        physics = degradation.to_deepinv(problem.shape[1:])
        with _Drawing(generator):
            x = self._run(watched, y, physics.to(y.device), degradation.embed(y), noise).to(y.dtype)
        if not bool(x.isfinite().all()):
            raise ConfigError(f"{type(self).__name__} diverged: give other options, or another solver")
        return Solution(x, nfe=watched.evaluations, trace=watched.trace)


@final
class DPIR(ByDenoising):
    """Half-quadratic splitting in 8 steps, whose noise falls from 49/255 to that of the measurement.

    Made for denoisers: an explicit prior, such as `tv`, is not minimised in 8 steps; take `admm` for it.

    Source: Zhang et al., "Plug-and-play image restoration with deep denoiser prior", 2021.
    """

    def _run(self, denoiser: Denoiser, y: Tensor, physics: LinearPhysics, start: Tensor, noise: float) -> Tensor:
        return optim.DPIR(sigma=noise, denoiser=denoiser, device=y.device)(y, physics, init=start)

    def _evaluations(self) -> int:
        return 8


@final
class DiffPIR(ByDenoising):
    """Diffusion with a step of the measurement's prox: denoise, go towards y, add noise of the next, lower level.

    It draws from the posterior: another seed, another restoration.

    Args:
        iterations: how often it denoises.
        weight: `lambda`: how much the denoiser's answer counts against the measurement.
        zeta: share of the noise that is drawn anew in each step, 0 to 1.

    The defaults were chosen on 12 digits, for denoising, two blurs and super-resolution; published are 100
    steps, a weight of 3 to 25 and a zeta of .1 to 1, for photographs.
    Source: Zhu et al., "Denoising diffusion models for plug-and-play image restoration", 2023.
    """

    def __init__(self, *, iterations: int = 20, weight: float = 2.0, zeta: float = 0.5) -> None:
        if iterations < 2 or weight <= 0 or not 0 <= zeta <= 1:
            raise ConfigError(
                f"iterations is {iterations}, weight {weight}, zeta {zeta}: give iterations >= 2, weight > 0, and a "
                f"zeta of 0 to 1"
            )
        self.iterations, self.weight, self.zeta = iterations, float(weight), float(zeta)

    def _run(self, denoiser: Denoiser, y: Tensor, physics: LinearPhysics, start: Tensor, noise: float) -> Tensor:
        options: dict[str, Any] = {"max_iter": self.iterations, "zeta": self.zeta, "lambda_": self.weight}
        method = sampling.DiffPIR(denoiser, optim.L2(), sigma=noise, device=y.device, **options)
        return method(y, physics, x_init=start)

    def _evaluations(self) -> int:
        return self.iterations


@final
class DPS(ByDenoising):
    """Diffusion posterior sampling: denoise step by step, down the gradient of the measurement's misfit.

    It draws from the posterior: another seed, another restoration. It needs gradients through the denoiser.

    Args:
        iterations: number of steps.
        weight: of the misfit.
        guidance: "annealed", the misfit in units of the noise of measurement and step together, or "norm", as
            published, whose weight depends on the number of pixels.

    The default weight was chosen on 12 digits, for denoising, two blurs and super-resolution.
    Source: Chung et al., "Diffusion posterior sampling for general noisy inverse problems", 2023.
    """

    def __init__(
        self, *, iterations: int = 100, weight: float = 4.0, guidance: Literal["annealed", "norm"] = "annealed"
    ) -> None:
        if iterations < 2 or weight <= 0:
            raise ConfigError(f"iterations is {iterations} and weight {weight}: give 2 or more, and more than 0")
        self.iterations, self.weight, self.guidance = iterations, float(weight), guidance

    def _run(self, denoiser: Denoiser, y: Tensor, physics: LinearPhysics, start: Tensor, noise: float) -> Tensor:
        options: dict[str, Any] = {"num_steps": self.iterations, "weight": self.weight, "guidance": self.guidance}
        method = sampling.DPS(denoiser, device=y.device, **options)
        return method(y, physics, x_init=tuple(start.shape))

    def _evaluations(self) -> int:
        return self.iterations - 1


class _Watched(Denoiser):
    """A denoiser that counts, and shows each answer."""

    def __init__(self, problem: Problem, generator: Randomness, show: Callable[[int, Tensor], None]) -> None:
        super().__init__()
        self.problem, self.show = problem, show
        self.denoise, self.count = _denoiser(problem, generator)
        self.trace: list[dict[str, float]] = []
        self.evaluations = 0

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        answer = self.denoise(x, torch.as_tensor(sigma, dtype=x.dtype, device=x.device).flatten().expand(len(x)))
        if x.requires_grad and not answer.requires_grad:
            name = type(self.problem.prior).__name__
            raise IncompatibleError(f"DPS needs gradients, and the prior {name} has none: take deepinv.DiffPIR")
        self.evaluations += self.count(sigma)
        shown = answer.detach().to(cast(Tensor, self.problem.y).dtype)
        self.trace.append({"sigma": float(torch.as_tensor(sigma).max()), **residual(shown, self.problem)})
        self.show(len(self.trace), shown)
        return answer


def _denoiser(
    problem: Problem, generator: Randomness
) -> tuple[Callable[[Tensor, Tensor], Tensor], Callable[[float | Tensor], int]]:
    """`D(x, sigma)` of the problem's prior in the problem's precision, and how many network evaluations it takes."""
    prior, y = problem.prior, cast(Tensor, problem.y)
    if isinstance(prior, RestoringPrior):
        denoiser, latent = RestoringDenoiser(prior), prior.latent
        return lambda x, sigma: denoiser(x, sigma, z=randn((len(x), latent), generator=generator)), denoiser.evaluations
    if isinstance(prior, ExplicitPrior):
        measured = Measured(cast(Degradation, problem.degradation), problem.shape, y)
        prior = prior.weighted(measured.noise, measured.mean)

    def denoise(x: Tensor, sigma: Tensor, prior: Prior = prior) -> Tensor:
        return prior.prox(x.to(y.dtype), sigma.to(y.dtype).square(), generator=generator).to(x.dtype)

    return denoise, lambda sigma: int(isinstance(prior, Plugged))


class _Drawing(TorchFunctionMode):
    """While it is on, what would draw from torch's global generator draws from the one that is given."""

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
