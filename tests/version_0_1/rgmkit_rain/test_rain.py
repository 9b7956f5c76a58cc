"""The conformance checks of rgmkit on this package's degradation: run `pytest` in this folder."""

import pytest
from rgmkit_rain.rain import Rain

import rgmkit
import rgmkit.testing


@pytest.mark.parametrize("check", rgmkit.testing.checks("degradation"))
def test_rain_is_a_degradation(check):
    check(Rain(noise=0.05), image_shape=(3, 12, 8))


def test_wrong_options():
    with pytest.raises(rgmkit.ConfigError, match="opacity is 1"):
        Rain(opacity=1.0)
