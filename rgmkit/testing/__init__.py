"""Conformance checks for components, one check per test.

Each check is a function that is named after what it tests; pytest uses that name as the id of the test:

    import pytest
    import rgmkit.testing
    from rgmkit_rain.rain import Rain

    @pytest.mark.parametrize("check", rgmkit.testing.checks("degradation"))
    def test_rain(check):
        check(Rain(noise=0.05), image_shape=(3, 12, 8))

The arguments of a check depend on the kind. A shape is that of one image, preferably not square:

- degradation: `check(degradation, image_shape)`, images (C, H, W) in [0, 1];
- noise: `check(noise, image_shape)`, the shape (C, H, W) of a measurement;
- process: `check(process, image_shape)`, images (C, H, W) in [-1, 1] or points (d,);
- prior: `check(prior, image_shape)`;
- solver: `check(solver)`.

A check that fails raises an AssertionError with the measured and the expected value. One that does not apply (the
adjoint of an operator that is not linear, a prox that a prior does not provide) raises `unittest.SkipTest`, which
pytest reports as skipped. Checks draw from seeded generators, use float64 and a batch of 3, and do not need pytest.

`measure_calibration(samples, truth)` measures whether the samples of a restoration cover the true images as often as
they should.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rgmkit.errors import ConfigError
from rgmkit.testing import degradations, noises, priors, processes, solvers
from rgmkit.testing.calibration import Calibration, measure_calibration

Check = Callable[..., None]

_CHECKS: dict[str, list[Check]] = {
    "degradation": degradations.CHECKS,
    "process": processes.CHECKS,
    "prior": priors.CHECKS,
    "solver": solvers.CHECKS,
    "noise": noises.CHECKS,
}

__all__ = ["Calibration", "Check", "check_all", "checks", "measure_calibration"]


def checks(kind: str) -> list[Check]:
    """Return the checks of a kind of component: degradation, process, prior, solver or noise.

    Raises:
        ConfigError: for another kind.

    >>> [check.__name__ for check in checks("degradation")][:2]
    ['linearity', 'adjoint']
    """
    if kind not in _CHECKS:
        raise ConfigError(f"there are no checks of kind {kind!r}: give {', '.join(_CHECKS)}")
    return list(_CHECKS[kind])


def check_all(kind: str, component: Any, *shape: tuple[int, ...]) -> list[str]:
    """Run all checks of a kind that apply, without pytest; return the names of those that ran.

    Raises:
        AssertionError: from the first check that fails.

    >>> import rgmkit
    >>> "adjoint" in check_all("degradation", rgmkit.degradation("blur", std=1), (1, 6, 5))
    True
    """
    import unittest

    ran = []
    for check in checks(kind):
        try:
            check(component, *shape)
        except unittest.SkipTest:
            continue
        ran.append(check.__name__)
    return ran
