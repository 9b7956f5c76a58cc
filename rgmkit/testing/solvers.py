"""Checks of solvers: `check(solver)`, on a small problem with a known prior."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rgmkit.core.prior import CAPABILITIES, Prior
from rgmkit.core.random import Streams, seeded
from rgmkit.core.solver import Problem, Solver
from rgmkit.errors import IncompatibleError
from rgmkit.testing import toys
from rgmkit.testing.measure import BATCH, assert_close, assert_repeatable, skip, unchanged


def refusals(solver: Solver) -> None:
    """A problem that `needs`, `needs_linear` or `generates` exclude is refused before anything runs, and no other.

    Likely cause: `needs`, `needs_linear` or `generates` does not say what `_solve` uses.
    """
    unknown = solver.needs - CAPABILITIES
    assert not unknown, f"needs has {', '.join(unknown)}: capabilities are {', '.join(sorted(CAPABILITIES))}"
    problem = toys.make_problem(_choose_prior(solver))
    wrong = {}
    if solver.needs:
        wrong["a prior that provides nothing"] = toys.make_problem(toys.Nothing())
    if solver.needs_linear:
        wrong["a degradation that is not linear"] = Problem(problem.prior, problem.shape, problem.y, toys.Clip())
    if not solver.generates:
        wrong["a problem without a measurement"] = Problem(problem.prior, problem.shape)
    for what, impossible in wrong.items():
        try:
            solver.solve(impossible, generator=seeded(0))
        except IncompatibleError:
            continue
        raise AssertionError(f"{what} is not refused with an IncompatibleError")
    if solver.needs_linear:
        return
    try:
        solver.solve(replace(problem, degradation=toys.Clip(noise=toys.STD / 2)), generator=seeded(0))
    except IncompatibleError as error:
        raise AssertionError(f"needs_linear is False, and with an operator that is not linear: {error}") from error


def answer(solver: Solver) -> None:
    """The estimate has the shape and type of the image and is nearer to the truth than the measurement.

    Likely cause: the step has the wrong sign or size, or the fidelity lacks its factor 1 / noise^2.
    """
    problem = toys.make_problem(_choose_prior(solver))
    assert problem.y is not None
    solution = solver.solve(problem, generator=seeded(0))
    _check_image(solution.x, problem)
    counted = isinstance(solution.nfe, int) and solution.nfe >= ("restore" in solver.needs)
    assert counted, f"nfe is {solution.nfe!r}: count the network evaluations per image"
    for row in solution.trace:
        numbers = all(isinstance(value, (int, float)) for value in row.values())
        assert numbers, f"the trace holds {row}: put plain numbers there"
    truth = toys.draw_truth()
    before, after = float((problem.y - truth).norm()), float((solution.x - truth).norm())
    assert after < before, f"the estimate is {after:.3f} from the truth, the measurement was {before:.3f} from it"


def generation(solver: Solver) -> None:
    """Without a measurement, a solver that generates returns images of the shape of the problem.

    Likely cause: `_solve` uses `problem.y`, or returns images in [-1, 1].
    """
    if not solver.generates:
        skip(f"{type(solver).__name__} does not generate")
    problem = Problem(_choose_prior(solver), (BATCH, *toys.SHAPE))
    x = solver.solve(problem, generator=seeded(0)).x
    _check_image(x, problem)
    std = float(x.std())
    assert toys.STD / 3 < std < 3 * toys.STD, f"new images have std {std:.3f}, those of the prior {toys.STD}"


def one_image_at_a_time(solver: Solver) -> None:
    """A batch gives the same as each of its images on its own, with one random stream per image.

    Likely cause: a step size, norm or stopping rule is shared by the batch, or noise is not drawn by `randn`.
    """
    problem = toys.make_problem(_choose_prior(solver))
    assert problem.y is not None
    whole = solver.solve(problem, generator=Streams(0, range(BATCH))).x
    each = []
    for i in range(BATCH):
        one = Problem(problem.prior, (1, *problem.shape[1:]), problem.y[i : i + 1], problem.degradation)
        each.append(solver.solve(one, generator=Streams(0, [i])).x)
    assert_close(whole - 0.5, torch.cat(each) - 0.5, 1e-2, "a batch against one image at a time")


def randomness(solver: Solver) -> None:
    """The same seed gives the same estimate; global generators are not used.

    Likely cause: a draw from torch's global generator: use `rgmkit.core.random.randn(…, generator=generator)`.
    """
    problem = toys.make_problem(_choose_prior(solver))
    assert_repeatable(lambda: solver.solve(problem, generator=seeded(3)).x, "solve")


def purity(solver: Solver) -> None:
    """Neither the solver nor anything in the problem is changed.

    Likely cause: an attribute is set outside of the constructor, or y is changed in place: start from `y.clone()`.
    """
    problem = toys.make_problem(_choose_prior(solver))
    _ = (
        problem.scale,
        problem.operator_levels,
        problem.rounding_step,
    )  # measured when they are first asked for, and kept
    with unchanged(solver, "solve"), unchanged(problem, "solve"):
        solver.solve(problem, generator=seeded(0))


def callbacks(solver: Solver) -> None:
    """The callback gets `(step, steps, x)` after each step, steps counted from 1.

    Likely cause: `callback(step, steps, x)` is missing from the loop, or counts from 0.
    """
    problem, calls = toys.make_problem(_choose_prior(solver)), []

    def callback(step: int, steps: int, x: Tensor) -> None:
        calls.append((step, steps))
        assert tuple(x.shape) == problem.shape, f"the callback got an image of shape {tuple(x.shape)}"

    solver.solve(problem, generator=seeded(0), callback=callback)
    assert calls, "the callback was never called: call it after each step"
    steps = [step for step, _ in calls]
    assert steps == list(range(1, len(calls) + 1)), f"the callback got the steps {steps[:5]} …, expected 1, 2, 3 …"
    assert all(step <= of for step, of in calls), f"the callback got step {calls[-1][0]} of {calls[-1][1]}"


def _check_image(x: Tensor, problem: Problem) -> None:
    assert tuple(x.shape) == problem.shape, f"the estimate has shape {tuple(x.shape)}, expected {problem.shape}"
    assert torch.isfinite(x).all(), "the estimate has values that are not finite"
    expected = torch.float32 if problem.y is None else problem.y.dtype
    assert x.dtype == expected, f"the estimate is {x.dtype}, expected {expected}"


def _choose_prior(solver: Solver) -> Prior:
    prior = next((prior for prior in (toys.Grey(), toys.Restorer()) if solver.needs <= prior.provides), None)
    return prior or skip(f"no prior of the checks has {', '.join(sorted(solver.needs))} together")


CHECKS = [refusals, answer, generation, one_image_at_a_time, randomness, purity, callbacks]
