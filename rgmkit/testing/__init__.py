"""Conformance checks for components, one check per test.

`@conformance(component)` gives pytest one test for each check, with the name of the check as its id:

    import rgmkit.testing
    from rgmkit_rain.rain import Rain

    @rgmkit.testing.conformance(Rain(noise=0.05))
    def test_rain(check):
        check()

`rgmkit plugins check NAME` prints a table of the same, and `run_checks(component)` returns it.

Each check is a function that is named after what it tests, `checks("degradation")` lists them. Their arguments depend
on the kind. A shape is that of one image, preferably not square:

- degradation: `check(degradation, image_shape)`, images (C, H, W) in [0, 1];
- noise: `check(noise, image_shape)`, the shape (C, H, W) of a measurement;
- process: `check(process, image_shape)`, images (C, H, W) in [-1, 1] or points (d,);
- prior and metric: `check(prior, image_shape)`;
- solver and objective: `check(solver)`.

A check that fails raises an AssertionError with the measured and the expected value. One that does not apply (the
adjoint of an operator that is not linear, a prox that a prior does not provide) raises `unittest.SkipTest`, which
pytest reports as skipped. Checks draw from seeded generators, use float64 and a batch of 3, and do not need pytest.

`measure_calibration(samples, truth)` measures whether the samples of a restoration cover the true images as often as
they should.
"""

from __future__ import annotations

from typing import Any

from rgmkit.testing.calibration import Calibration, measure_calibration
from rgmkit.testing.running import Check, Result, checks, conformance, run_checks

__all__ = ["Calibration", "Check", "Result", "check_all", "checks", "conformance", "measure_calibration", "run_checks"]


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
