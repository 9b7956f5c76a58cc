"""Run the checks of a component: as a list of results, or as one pytest test each."""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
import traceback
import unittest
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import torch

from rgmkit.core.degradation import Degradation
from rgmkit.core.metric import Metric
from rgmkit.core.noise import Noise
from rgmkit.core.objective import Objective
from rgmkit.core.prior import Prior
from rgmkit.core.process import ForwardProcess
from rgmkit.core.solver import Solver
from rgmkit.errors import ConfigError, describe_cause, suggest
from rgmkit.runtime.foreign_code import contain
from rgmkit.testing import degradations, metrics, noises, objectives, priors, processes, solvers

Check = Callable[..., None]
Outcome = Literal["passed", "failed", "expected failure", "skipped"]
T = TypeVar("T", bound=Callable[..., Any])

KINDS: dict[str, tuple[type, list[Check]]] = {
    "degradation": (Degradation, degradations.CHECKS),
    "process": (ForwardProcess, processes.CHECKS),
    "noise": (Noise, noises.CHECKS),
    "prior": (Prior, priors.CHECKS),
    "solver": (Solver, solvers.CHECKS),
    "metric": (Metric, metrics.CHECKS),
    "objective": (Objective, objectives.CHECKS),
}
WITHOUT_SHAPE = ("solver", "objective")
SHAPES = ((3, 12, 8), (1, 12, 8), (2, 12, 8), (3, 8, 8), (3, 24, 16), (1, 16, 16), (3, 64, 48))
LIKELY_CAUSE = "Likely cause: "


@dataclass(frozen=True)
class Result:
    """What a check found.

    Attributes:
        check: its name.
        outcome: "passed", "failed", "expected failure" or "skipped".
        expected: what the check expects.
        seen: what was measured instead, or why it was skipped; empty if it passed.
        cause: the likely cause of a failure, or the reason why it is expected.
    """

    check: str
    outcome: Outcome
    expected: str
    seen: str = ""
    cause: str = ""


def checks(kind: str) -> list[Check]:
    """Return the checks of a kind of component, such as "degradation".

    Raises:
        ConfigError: for another kind.

    >>> [check.__name__ for check in checks("degradation")][:2]
    ['linearity', 'adjoint']
    """
    if kind not in KINDS:
        raise ConfigError(f"there are no checks of kind {kind!r}: give {', '.join(KINDS)}")
    return list(KINDS[kind][1])


def kind_of(component: Any) -> str:
    """Return the kind of a component, as its base class says.

    Raises:
        ConfigError: if there are no checks for it.
    """
    for kind, (base, _) in KINDS.items():
        if isinstance(component, base):
            return kind
    bases = ", ".join(base.__name__ for base, _ in KINDS.values())
    raise ConfigError(f"a {type(component).__name__} has no checks: give an object of {bases}")


def run_checks(
    component: Any, image_shape: tuple[int, ...] | None = None, *, expected_failures: Mapping[str, str] | None = None
) -> list[Result]:
    """Run all checks of a component.

    Args:
        component: an object.
        image_shape: of one image, (C, H, W), preferably not square. Default: a small one that suits the component.
        expected_failures: the reasons of checks that fail, by name; in addition to `component.expected_failures`.

    Raises:
        ConfigError: if there are no checks for it, or none with an expected name.

    >>> import rgmkit
    >>> {result.outcome for result in run_checks(rgmkit.degradation("grayscale"))}
    {'passed'}
    """
    component, given = _prepare(component, image_shape)
    expected = _expected_failures(component, expected_failures)
    return [_run(check, component, given, expected.get(check.__name__)) for check in checks(kind_of(component))]


def conformance(
    component: Any, *, image_shape: tuple[int, ...] | None = None, expected_failures: Mapping[str, str] | None = None
) -> Callable[[T], T]:
    """Decorate a test function, so that pytest calls it once for each check of a component.

        @rgmkit.testing.conformance(Rain(noise=0.05), expected_failures={"pinv": "opaque streaks"})
        def test_rain(check):
            check()

    The ids are the names of the checks: `pytest -k adjoint`. An expected failure that passes is an error.

    Args:
        component: an object.
        image_shape: of one image, (C, H, W), preferably not square. Default: a small one that suits the component.
        expected_failures: the reasons of checks that fail, by name; in addition to `component.expected_failures`.

    Raises:
        ConfigError: if there are no checks for it, or none with an expected name.
    """
    import pytest  # not needed otherwise

    component, given = _prepare(component, image_shape)
    expected = _expected_failures(component, expected_failures)
    parameters = []
    for check in checks(kind_of(component)):
        reason = expected.get(check.__name__)
        marks = () if reason is None else (pytest.mark.xfail(reason=reason, strict=True),)
        parameters.append(pytest.param(partial(check, component, *given), id=check.__name__, marks=marks))
    return pytest.mark.parametrize("check", parameters)


def find_shape(component: Any) -> tuple[int, ...]:
    """Return the shape of small images that a component takes; the first of `SHAPES` if it takes none of them."""
    known = getattr(component, "image_shape", None)
    if isinstance(known, tuple):
        return known
    return next((shape for shape in SHAPES if _takes(component, shape)), SHAPES[0])


def _takes(component: Any, shape: tuple[int, ...]) -> bool:
    x = torch.full((1, *shape), 0.5, dtype=torch.float64)
    try:
        with torch.no_grad(), warnings.catch_warnings(), contain():
            warnings.simplefilter("ignore")
            if isinstance(component, Degradation):
                return tuple(component.image_shape(tuple(component.A(x).shape))) == tuple(x.shape)
            if isinstance(component, Noise):
                return component.sample(x).shape == x.shape
            if isinstance(component, Metric):
                return math.isfinite(float(component(x.float() / 2, x.float())))
            if isinstance(component, ForwardProcess):
                return component.mean(x, component.full_level(component.levels, x)).shape == x.shape
            if isinstance(component, Prior):
                component.check_shape(shape)
                return "prox" not in component.provides or component.prox(x, 0.01).shape == x.shape
    except Exception:  # of a foreign component, at a shape that does not suit it
        return False
    return True


def _prepare(component: Any, image_shape: tuple[int, ...] | None) -> tuple[Any, tuple[tuple[int, ...], ...]]:
    """Return a component, in float64 if it computes in its own precision, and the further arguments of its checks.

    Raises:
        ConfigError: for a noise model with unknown parameters.
    """
    if kind_of(component) in WITHOUT_SHAPE:
        return component, ()
    if isinstance(component, Noise) and not component.known:
        raise ConfigError(f"the noise {component} has unknown parameters, and cannot be checked: give them")
    shape = find_shape(component) if image_shape is None else tuple(image_shape)
    if isinstance(component, Degradation) and any(True for _ in component.buffers()):
        with contextlib.suppress(Exception), contain(), torch.no_grad():  # of a foreign operator
            wide = copy.deepcopy(component).double()
            y = wide.A(torch.zeros(1, *shape))
            if y.dtype == torch.float32 and (not wide.linear or wide.adjoint(y).dtype == torch.float32):
                return wide, (shape,)
    return component, (shape,)


def _expected_failures(component: Any, given: Mapping[str, str] | None) -> dict[str, str]:
    names = [check.__name__ for check in checks(kind_of(component))]
    for name in given or {}:
        if name not in names:
            raise ConfigError(f"expected_failures has {name!r}, which is no check: {suggest(name, names)}")
    return {**getattr(component, "expected_failures", {}), **(given or {})}


def _run(check: Check, component: Any, given: tuple[Any, ...], reason: str | None) -> Result:
    expected, cause = read_expectation(check)
    result = partial(Result, check.__name__, expected=expected)
    try:
        with warnings.catch_warnings(), contain():
            warnings.simplefilter("ignore")
            check(component, *given)
    except unittest.SkipTest as skipped:
        return result("skipped", seen=str(skipped))
    except Exception as error:
        located = _locate(error, component)  # nothing if the check itself raised it
        seen = str(error) if isinstance(error, AssertionError) and not located else describe_cause(error)
        if reason is not None:
            return result("expected failure", seen=seen, cause=reason)
        return result("failed", seen=seen, cause=located or cause)
    if reason is not None:
        return result("failed", seen="it passes", cause=f"it is expected to fail ({reason}), and need not be any more")
    return result("passed")


def read_expectation(check: Check) -> tuple[str, str]:
    """Return what a check expects, and the likely cause if it fails, from its docstring.

    >>> expected, cause = read_expectation(checks("degradation")[1])
    >>> expected
    '`<A x, y> = <x, A^T y>` for each image of the batch.'
    """
    text, _, cause = (inspect.getdoc(check) or "").partition(LIKELY_CAUSE)
    return " ".join(text.split("\n\n")[0].split()), " ".join(cause.split())


def _locate(error: BaseException, component: Any) -> str:
    """Say where in the file of the component an error was raised; nothing if it was not raised there."""
    with contextlib.suppress(TypeError, OSError):
        own = inspect.getfile(type(component))
        raised = (error, error.__cause__) if error.__cause__ else (error,)
        frames = [f for each in raised for f in traceback.extract_tb(each.__traceback__) if f.filename == own]
        if frames:
            return f"line {frames[-1].lineno} of {own}, in {frames[-1].name}: {frames[-1].line}"
    return ""
