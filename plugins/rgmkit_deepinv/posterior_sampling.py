"""deepinv's plug-and-play and diffusion methods, run by deepinv on rgmkit's problems."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, final

import torch
from torch import Tensor

from rgmkit.core.bounds import Iterations
from rgmkit.core.degradation import Degradation
from rgmkit.core.random import Randomness
from rgmkit.core.solver import Callback, Problem, Solution, Solver
from rgmkit.errors import ConfigError
from rgmkit.solvers.measurement import noise_of

if TYPE_CHECKING:
    from deepinv.models.base import Denoiser
    from deepinv.physics import LinearPhysics

FIRST_STD, LEAST_NOISE, TRADE_OFF = 49 / 255, 0.01, 0.23  # of DPIR, as in deepinv


class DenoisingSolver(Solver):
    """A method of deepinv whose prior is a denoiser `D(x, sigma)` for noise of any std.

    A trained model denoises as described in `RestoringPrior.to_deepinv`, any other prior by the prox of
    `sigma^2 g`. The noise std is at least a quarter of a grey level. All random numbers come from the solver's
    generator, for each image of a batch on its own.

    The trace has for each evaluation "sigma", the noise std of the denoiser, and "residual", the root mean square
    of A x - y of its result x.

    Raises:
        ConfigError: if an option is out of its range, or the method diverges.
        IncompatibleError: if the operator is not linear or its noise is unknown, and for a prior without gradients in
            `deepinv.DPS`.

    >>> import rgmkit, torch
    >>> y = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> solution = rgmkit.restore(y, "gaussian-noise:noise=0.1", "digits", solver=DiffPIR(iterations=3))
    >>> [round(row["sigma"], 2) for row in solution.trace]
    [78.7, 0.6, 0.01]
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prox"})

    @abstractmethod
    def _run(self, denoiser: Denoiser, y: Tensor, physics: LinearPhysics, start: Tensor, noise: float) -> Tensor:
        """Run deepinv's method."""

    @abstractmethod
    def _evaluations(self) -> int:
        """Return the number of denoiser evaluations."""

    def _solve(self, problem: Problem, *, generator: Randomness, callback: Callback) -> Solution:
        from rgmkit_deepinv.recording import RecordingDenoiser, SeededDraws

        y, degradation = cast(Tensor, problem.y), cast(Degradation, problem.degradation)
        noise = noise_of(problem)
        denoiser = RecordingDenoiser(problem, generator, lambda k, x: callback(k, self._evaluations(), x))
        physics = degradation.to_deepinv(problem.shape[1:])
        with SeededDraws(generator):
            x = self._run(denoiser, y, physics.to(y.device), degradation.initial_estimate(y), noise).to(y.dtype)
        if not bool(x.isfinite().all()):
            raise ConfigError(f"{type(self).__name__} diverged: give other options, or another solver")
        return Solution(x, nfe=denoiser.evaluations, trace=denoiser.trace)


@final
class DPIR(DenoisingSolver):
    """Half-quadratic splitting at noise levels that decrease in equal ratios, from 49/255 to that of the measurement.

    It is made for denoisers: for an explicit prior such as `tv`, 8 iterations do not reach the minimum; use `admm`.

    Args:
        iterations: number of denoiser evaluations; `deepinv.optim.DPIR` has 8.

    Source: Zhang et al., "Plug-and-play image restoration with deep denoiser prior", 2021.
    """

    def __init__(self, *, iterations: Iterations = 8) -> None:
        if iterations < 2:
            raise ConfigError(f"iterations is {iterations}: give 2 or more")
        self.iterations = iterations

    def _run(self, denoiser: Denoiser, y: Tensor, physics: LinearPhysics, start: Tensor, noise: float) -> Tensor:
        from deepinv import optim

        first, last = torch.tensor([FIRST_STD, noise]).log10().tolist()
        stds = torch.logspace(first, last, self.iterations, device=y.device)
        options: dict[str, Any] = {
            "sigma_denoiser": stds,
            "stepsize": (stds / max(LEAST_NOISE, noise)) ** 2 / TRADE_OFF,
            "max_iter": self.iterations,
        }
        return optim.HQS(optim.L2(), optim.PnP(denoiser=denoiser), **options)(y, physics, init=start)

    def _evaluations(self) -> int:
        return self.iterations


@final
class DiffPIR(DenoisingSolver):
    """Diffusion with the prox of the measurement: denoise, apply the prox, add noise of the next lower level.

    It draws from the posterior: another seed gives another restoration.

    Args:
        iterations: number of denoiser evaluations.
        weight: `lambda`, the weight of the denoiser against the measurement.
        zeta: fraction of the noise that is drawn anew in each iteration, 0 to 1.

    The defaults were chosen on 12 digits, for denoising, two blurs and super-resolution; for photographs the paper
    uses 100 iterations, a weight of 3 to 25 and a zeta of .1 to 1.
    Source: Zhu et al., "Denoising diffusion models for plug-and-play image restoration", 2023.
    """

    def __init__(self, *, iterations: Iterations = 20, weight: float = 2.0, zeta: float = 0.5) -> None:
        if iterations < 2 or not 0 < weight < math.inf or not 0 <= zeta <= 1:
            raise ConfigError(
                f"iterations is {iterations}, weight {weight}, zeta {zeta}: give iterations >= 2, weight > 0, and a "
                f"zeta of 0 to 1"
            )
        self.iterations, self.weight, self.zeta = iterations, float(weight), float(zeta)

    def _run(self, denoiser: Denoiser, y: Tensor, physics: LinearPhysics, start: Tensor, noise: float) -> Tensor:
        from deepinv import optim, sampling

        options: dict[str, Any] = {"max_iter": self.iterations, "zeta": self.zeta, "lambda_": self.weight}
        method = sampling.DiffPIR(denoiser, optim.L2(), sigma=noise, device=y.device, **options)
        return method(y, physics, x_init=start)

    def _evaluations(self) -> int:
        return self.iterations


@final
class DPS(DenoisingSolver):
    """Diffusion posterior sampling: denoise step by step, guided by the gradient of the fidelity.

    It draws from the posterior: another seed gives another restoration. It needs gradients through the denoiser.

    Args:
        iterations: number of steps.
        weight: of the fidelity.
        guidance: "annealed", the residual in units of the combined noise of measurement and step, or "norm", as
            published, where the right weight depends on the number of pixels.

    The default weight was chosen on 12 digits, for denoising, two blurs and super-resolution.
    Source: Chung et al., "Diffusion posterior sampling for general noisy inverse problems", 2023.
    """

    def __init__(
        self, *, iterations: Iterations = 100, weight: float = 4.0, guidance: Literal["annealed", "norm"] = "annealed"
    ) -> None:
        if iterations < 2 or not 0 < weight < math.inf:
            raise ConfigError(f"iterations is {iterations} and weight {weight}: give 2 or more, and more than 0")
        self.iterations, self.weight, self.guidance = iterations, float(weight), guidance

    def _run(self, denoiser: Denoiser, y: Tensor, physics: LinearPhysics, start: Tensor, noise: float) -> Tensor:
        from deepinv import sampling

        options: dict[str, Any] = {"num_steps": self.iterations, "weight": self.weight, "guidance": self.guidance}
        method = sampling.DPS(denoiser, device=y.device, **options)
        return method(y, physics, x_init=tuple(start.shape))

    def _evaluations(self) -> int:
        return self.iterations - 1
