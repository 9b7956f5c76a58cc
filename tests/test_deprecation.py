"""Names of version 0.1: each still works, and says its new name in a DeprecationWarning."""

from __future__ import annotations

import importlib
import sys
import warnings

import pytest
import torch

import rgmkit
from rgmkit.config import build
from rgmkit.core.linear import per_image
from rgmkit.core.network_prior import NetworkPrior
from rgmkit.core.process import ForwardProcess
from rgmkit.core.random import seeded

CLEAN = torch.rand(2, 1, 8, 8, generator=seeded(0))
LEVELS = torch.tensor([1, 2])
A, SIGMA = [1.0, 0.8, 0.0], [0.0, 0.6, 1.0]


class Today(ForwardProcess):
    """A process with the names of today."""

    def mean(self, x, level):
        return per_image(self.a(level), x) * x

    def degrade(self, x, level, *, standard_normal=None, generator=None):
        return 1 + super().degrade(x, level, standard_normal=standard_normal, generator=generator)

    def descend(self, x_hat, y, level, eta, *, standard_normal):
        return x_hat + eta * standard_normal


class Yesterday(Today):
    """The same by a third party who wrote it for version 0.1."""

    def degrade(self, x, level, *, noise=None, generator=None):
        return 1 + ForwardProcess.degrade(self, x, level, noise=noise, generator=generator)

    def descend(self, x_hat, y, level, eta, *, noise):
        return x_hat + eta * noise


class Network(torch.nn.Module):
    def forward(self, y, target, z):
        return y / 2


def test_a_process_that_overrides_methods_under_the_old_names_generates_the_same_images():
    images = []
    for process in (Today(A, SIGMA), Yesterday(A, SIGMA)):
        prior = NetworkPrior(process=process, network=Network(), image_shape=(1, 8, 8))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            images += [rgmkit.generate(prior, 2, solver=f"cascade:eta={eta}", progress=False) for eta in (0, 1)]
            images.append(prior.degrade(CLEAN, 1, generator=seeded(3)))
        told = {str(warning.message) for warning in caught}
        assert {warning.category for warning in caught} <= {DeprecationWarning}
    assert all(torch.equal(today, yesterday) for today, yesterday in zip(images[:3], images[3:], strict=True))
    assert "Yesterday.degrade(noise=…) is deprecated: use standard_normal=" in told
    assert "Yesterday.descend(noise=…) is deprecated: use standard_normal=" in told


def test_keywords_under_the_old_names():
    process, e = rgmkit.process("gaussian"), torch.randn(CLEAN.shape, generator=seeded(1))
    with pytest.warns(DeprecationWarning, match=r"degrade\(noise=…\) is deprecated: use standard_normal="):
        old = process.degrade(CLEAN, LEVELS, noise=e)
    assert torch.equal(old, process.degrade(CLEAN, LEVELS, standard_normal=e))
    with pytest.warns(DeprecationWarning, match=r"descend\(noise=…\)"):
        old = process.descend(CLEAN, old, LEVELS, 1.0, noise=e)
    y = process.degrade(CLEAN, LEVELS, standard_normal=e)
    assert torch.equal(old, process.descend(CLEAN, y, LEVELS, 1.0, standard_normal=e))
    prior = NetworkPrior(process=process, network=Network(), image_shape=(1, 8, 8))
    with pytest.warns(DeprecationWarning, match=r"degrade\(noise=…\) is deprecated: use noise_std="):
        old = prior.degrade(CLEAN, 2, noise=0.1, generator=seeded(2))
    assert torch.equal(old, prior.degrade(CLEAN, 2, noise_std=0.1, generator=seeded(2)))
    with pytest.raises(TypeError, match="both 'standard_normal' and its old name 'noise'"):
        process.degrade(CLEAN, LEVELS, noise=e, standard_normal=e)


class Yielding(rgmkit.Degradation):
    """The generic prox, said to be cheap under the old name."""

    def A(self, x):
        return x / 2

    @property
    def closed_prox(self):
        return True


def test_a_closed_prox_that_is_told_under_the_old_name_is_used_by_the_solver():
    calls = []
    degradation = Yielding(noise=0.1)
    degradation.prox = lambda z, y, gamma: calls.append(1) or Yielding.prox(degradation, z, y, gamma)
    with pytest.warns(DeprecationWarning, match="Yielding.closed_prox is deprecated: use has_closed_form_prox"):
        rgmkit.restore(CLEAN.float(), degradation, "tv", solver="admm:iterations=2,tolerance=0")
    assert len(calls) == 2  # the prox of the degradation, not the solver's own conjugate gradients
    with pytest.warns(DeprecationWarning, match="closed_prox is deprecated"):
        assert rgmkit.degradation("blur").closed_prox


def test_the_prior_of_old_model_folders_is_read_without_a_warning(recwarn):
    options = {"use": "gan", "process": "gaussian", "network": Network()}
    assert isinstance(build("prior", options), NetworkPrior)
    assert not [warning for warning in recwarn if warning.category is DeprecationWarning]


@pytest.mark.parametrize(
    ("module", "name", "new"),
    [
        ("rgmkit.arguments", "moved", "rgmkit.runtime.modules:to_device"),
        ("rgmkit.arguments", "as_prior", "rgmkit.resolve:resolve_prior"),
        ("rgmkit.experiment", "run", "rgmkit.experiments:run"),
        ("rgmkit.convert.conversion", "convert", "rgmkit.models.published.conversion:convert"),
        ("rgmkit_deepinv.solvers", "ADMM", "rgmkit_deepinv.splitting:ADMM"),
        ("rgmkit_deepinv.optimisers", "DPS", "rgmkit_deepinv.posterior_sampling:DPS"),
        ("rgmkit_deepinv.priors", "TV", "rgmkit_deepinv.total_variation:TV"),
    ],
)
@pytest.mark.filterwarnings("ignore:rgmkit.convert is deprecated")  # of the folder above the module, too
def test_modules_by_their_old_names_have_the_same_objects(module, name, new, monkeypatch):
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.warns(DeprecationWarning, match=f"^{module} is deprecated: use "):
        found = getattr(importlib.import_module(module), name)
    where, _, name = new.partition(":")
    assert found is getattr(importlib.import_module(where), name)


def test_functions_by_their_old_names():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from rgmkit.arguments import home
    prior = rgmkit.load("digits")
    assert home(prior) == (prior.device, prior.dtype) == (torch.device("cpu"), torch.float32)
    with pytest.warns(DeprecationWarning, match=r"rgmkit.images.grid is deprecated: use rgmkit.images.make_sheet"):
        assert importlib.import_module("rgmkit.images").grid is importlib.import_module("rgmkit.images").make_sheet


def test_a_shipped_model_by_its_old_name():
    with pytest.warns(DeprecationWarning, match="the model 'photographs-colour' is deprecated: use 'photographs'"):
        assert rgmkit.models.locate("photographs-colour") == rgmkit.models.locate("photographs")
    with pytest.warns(DeprecationWarning, match="photographs-colour"):
        found = rgmkit.models.find_model("photographs-colour:dtype=bf16")
    assert found == rgmkit.models.find_model("photographs:dtype=bf16")


def test_attributes_of_problems_and_networks_by_their_old_names():
    prior = rgmkit.load("digits")
    with pytest.warns(DeprecationWarning, match=r"RestoringPrior.noise is deprecated: use level_std"):
        assert prior.noise(1) == prior.level_std(1)
    with pytest.warns(DeprecationWarning, match=r"RestoringPrior.noises is deprecated: use level_stds"):
        assert torch.equal(prior.noises, prior.level_stds)
    with pytest.warns(DeprecationWarning, match=r"Problem.measured is deprecated: use from_measurement"):
        problem = rgmkit.Problem.measured(CLEAN, rgmkit.degradation("blur", std=1), prior)
    assert problem.shape == tuple(CLEAN.shape) and problem.y is CLEAN and problem.prior is prior
