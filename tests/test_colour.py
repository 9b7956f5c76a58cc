"""Grayscale against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pictures import COLOUR
from PIL import Image

import rgmkit
from rgmkit.errors import IncompatibleError


def test_grey_is_pillows():
    x = COLOUR.double()
    y = rgmkit.degradation("grayscale").A(x)
    pillow = np.asarray(Image.fromarray((255 * x[0]).round().byte().movedim(0, -1).numpy()).convert("L"))
    assert np.abs(255 * y[0, 0].numpy() - pillow).max() < 0.51
    mean = rgmkit.degradation("grayscale:weights=mean")
    assert torch.allclose(mean.A(x), x.mean(1, keepdim=True))
    for spec in ("grayscale", "grayscale:weights=mean", "grayscale:weights=[2, 1, 0]"):
        grey = rgmkit.degradation(spec)
        y = grey.A(x)
        assert torch.allclose(grey.A(grey.embed(y)), y) and torch.allclose(grey.A(grey.pinv(y)), y)
        assert float(grey.embed(y).std(1).max()) < 1e-12
    with pytest.raises(IncompatibleError, match=r"3 weights .* \(1, 1, 170, 171\): give an image of 3 channels"):
        rgmkit.degradation("grayscale").A(torch.zeros(1, 1, 170, 171))
