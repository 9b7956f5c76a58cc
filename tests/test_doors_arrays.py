"""What arrays and tensors hold is used, or its loss is said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import rgmkit
from rgmkit.errors import DataError


@pytest.mark.parametrize("name", ["ssim", "torchmetrics.StructuralSimilarityIndexMeasure", "deepinv.SSIM"])
@pytest.mark.parametrize("level", [1.0, 100.0, 1000.0, 12345.6])
def test_ssim_of_a_flat_bright_picture_with_itself_is_one(name, level):
    x = torch.full((1, 1, 24, 24), level) + 1e-3 * torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    assert float(rgmkit.metric(name)(x, x)) == pytest.approx(1, abs=1e-5)


def test_a_mask_is_not_lost():
    y = np.ma.masked_array(np.full((12, 12), 0.5), mask=np.eye(12, dtype=bool))
    with pytest.raises(DataError, match=r"masked array: .* inpaint"):
        rgmkit.restore(y, "gaussian-noise:noise=0.1", "tv")
    whole = np.ma.masked_array(np.full((12, 12), 0.5))
    assert rgmkit.restore(whole, "gaussian-noise:noise=0.1", "tv").x.shape == (12, 12)


@pytest.mark.parametrize("make", [torch.Tensor.to_sparse, lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)])
def test_tensors_that_are_not_strided_are_refused(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = make(torch.rand(1, 1, 12, 12))
    with pytest.raises(DataError, match="sparse or quantised"):
        rgmkit.restore(y, "gaussian-noise:noise=0.1", "tv")


class Gain(rgmkit.Degradation):
    def __init__(self):
        super().__init__(noise=0.1)
        self.gain = torch.nn.Parameter(torch.ones(()))

    def A(self, x):
        return self.gain * x

    def adjoint(self, y):
        return self.gain * y


def test_gradients_that_are_not_kept_are_noted():
    y, noise = torch.rand(1, 1, 12, 12), "gaussian-noise:noise=0.1"
    with pytest.warns(UserWarning, match="gradients are not kept"):
        solution = rgmkit.restore(y.clone().requires_grad_(), noise, "tv")
    assert any("differentiable=True" in note for note in solution.notes) and not solution.x.requires_grad
    assert any("differentiable=True" in note for note in rgmkit.restore(y, Gain(), "tv").notes)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        solution = rgmkit.restore(y.clone().requires_grad_(), noise, "tv")
    assert not any("gradients" in note for note in solution.notes)
    solution = rgmkit.restore(y.requires_grad_(), "gaussian-noise:noise=0.1", "tv", differentiable=True)
    assert solution.x.requires_grad and not any("gradients" in note for note in solution.notes)


class DoubleMask(rgmkit.Degradation):
    def A(self, x):
        return x * (torch.arange(16) % 4 > 0).double()


@pytest.mark.parametrize("solver", [None, "one-shot", "posterior"])
def test_a_network_takes_what_an_operator_raised_to_float64(solver):
    x = rgmkit.generate("digits", 1, seed=1, progress=False)
    y = DoubleMask().A(x).float()
    solution = rgmkit.restore(y, DoubleMask(noise=0.05), "digits", solver=solver, progress=False)
    assert solution.x.dtype == torch.float32 and (solution.x - x).square().mean() < (y - x).square().mean()
