"""The defaults hold for any linear operator: its scale, its shape, the order of its outputs, and how much it loses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.data
import torch

import rgmkit
from rgmkit.cli.app import main
from rgmkit.core.random import seeded
from rgmkit.core.scale import measure_scale
from rgmkit.errors import IncompatibleError

METHODS = ("one-shot", "cascade", "admm")


class Gain(rgmkit.Degradation):
    """`f x`; 0 is an operator that measures nothing."""

    def __init__(self, *, factor: float = -0.4, noise: float = 0.0) -> None:
        super().__init__(noise=noise)
        self.factor = factor

    def A(self, x):
        return self.factor * x


class Signs(rgmkit.Degradation):
    """Every pixel with a random sign."""

    def A(self, x):
        signs = torch.randn(x.shape[-2:], generator=seeded(5)).sign()
        return signs.to(x) * x


class Columns(rgmkit.Degradation):
    """Every column but each fourth: another shape."""

    def A(self, x):
        return x[..., torch.arange(x.shape[-1]) % 4 != 3]

    def image_shape(self, y_shape):
        return (*y_shape[:-1], y_shape[-1] * 4 // 3)

    def embed(self, y):
        return torch.nn.functional.interpolate(y, self.image_shape(y.shape)[-2:])


class Three(rgmkit.Degradation):
    """Three views of an image, one negative: more values than pixels."""

    def A(self, x):
        return torch.cat([x, x.roll(1, -2) / 2, -0.7 * x.flip(-1)], dim=1)

    def image_shape(self, y_shape):
        return (y_shape[0], y_shape[1] // 3, *y_shape[2:])

    def embed(self, y):
        return y[:, : y.shape[1] // 3]


class Illumination(rgmkit.Degradation):
    """Brighter towards the right, by a factor of 5."""

    def A(self, x):
        return torch.linspace(0.2, 1, x.shape[-1]).to(x) * x


class Wrapped(rgmkit.Degradation):
    """`factor P A x` of another degradation, P reversing the order of all values."""

    def __init__(self, inner, *, factor: float = 1.0, reverse: bool = False) -> None:
        super().__init__(noise=inner.noise * factor)
        self.inner, self.factor, self.reverse = inner, factor, reverse

    def A(self, x):
        y = self.factor * self.inner.A(x)
        return y.flip(-1, -2) if self.reverse else y

    def image_shape(self, y_shape):
        return self.inner.image_shape(y_shape)

    def embed(self, y):
        return self.inner.embed(y)


class Broken(rgmkit.Degradation):
    def A(self, x):
        return x * math.nan


class Affine(rgmkit.Degradation):
    def A(self, x):
        return x + 0.1


class Clipped(rgmkit.Degradation):
    def A(self, x):
        return x.clamp(0, 1)


OPERATORS = {
    "negative": Gain,
    "signs": Signs,
    "columns": Columns,
    "three": Three,
    "illumination": Illumination,
    "missing": lambda noise: rgmkit.degradation("inpaint", box=[1, 2], noise=noise),
    "half": lambda noise: rgmkit.degradation("inpaint", keep=0.6, noise=noise),
    "blur": lambda noise: rgmkit.degradation("blur", std=1.1, noise=noise),
    "downsample": lambda noise: rgmkit.degradation("downsample", factor=2, noise=noise),
}


@pytest.fixture(scope="module")
def crops():
    """Two crops of photographs, 48 x 48."""
    coins, chelsea = skimage.data.coins()[100:148, 60:108], skimage.data.chelsea()[110:158, 150:198, 1]
    return torch.tensor(np.stack([coins, chelsea])[:, None] / 255, dtype=torch.float32)


@pytest.fixture(scope="module")
def denoiser():
    return rgmkit.load("photographs")


def psnr(x, truth):
    return float(-10 * (x - truth).square().flatten(1).mean(1).log10().mean())


def measure(degradation, x):
    return degradation(x, generator=seeded(1))


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.03, 0.1, 0.25])
@pytest.mark.parametrize("name", OPERATORS)
def test_the_default_is_the_best_method_and_agrees_with_the_measurement(name, noise, crops, denoiser):
    degradation = OPERATORS[name](noise=noise)
    y = measure(degradation, crops)
    solution = rgmkit.restore(y, degradation, denoiser)
    others = {m: psnr(rgmkit.restore(y, degradation, denoiser, solver=m).x, crops) for m in METHODS}
    assert psnr(solution.x, crops) > max(others.values()) - 0.3, others
    measured = measure_scale(degradation, crops.shape, y).measured.expand_as(y)
    assert float((degradation.A(solution.x) - y)[measured].square().mean()) < (1.3 * noise) ** 2
    assert solution.nfe <= 16


@pytest.mark.parametrize("factor", [0.01, 0.3, 100])
@pytest.mark.parametrize("prior", ["photographs", "tv"])
@pytest.mark.parametrize("name", ["blur", "half"])
def test_the_scale_of_a_problem_changes_nothing(name, prior, factor, crops):
    degradation = OPERATORS[name](noise=0.05)
    y = measure(degradation, crops)
    plain, scaled = Wrapped(degradation), Wrapped(degradation, factor=factor)
    expected = rgmkit.restore(y, plain, prior).x
    torch.testing.assert_close(rgmkit.restore(factor * y, scaled, prior).x, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", ["signs", "illumination", "columns"])
def test_the_order_of_what_is_measured_changes_nothing(name, crops, denoiser):
    degradation = OPERATORS[name](noise=0.05)
    y = measure(degradation, crops)
    expected = rgmkit.restore(y, Wrapped(degradation), denoiser).x
    reversed_ = rgmkit.restore(y.flip(-1, -2), Wrapped(degradation, reverse=True), denoiser).x
    torch.testing.assert_close(reversed_, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", ["signs", "missing"])
def test_what_loses_nothing_or_hardly_anything_is_denoised_as_well_as_the_identity(name, crops, denoiser):
    identity, degradation = rgmkit.degradation("gaussian-noise", noise=0.1), OPERATORS[name](noise=0.1)
    expected = psnr(rgmkit.restore(measure(identity, crops), identity, denoiser).x, crops)
    assert psnr(rgmkit.restore(measure(degradation, crops), degradation, denoiser).x, crops) > expected - 0.2


@pytest.mark.slow
@pytest.mark.parametrize("vary", ["noise", "operator"])
def test_nothing_jumps(vary, crops, denoiser):
    found = []
    for k in range(9):
        f = 1.05**k
        std, noise = (0.6 * f, 0.05) if vary == "operator" else (0.6, 0.05 * f)
        degradation = rgmkit.degradation("blur", std=std, noise=noise)
        found.append(psnr(rgmkit.restore(measure(degradation, crops), degradation, denoiser).x, crops))
    off = [found[k] - (found[k - 1] + found[k + 1]) / 2 for k in range(1, len(found) - 1)]
    assert max(map(abs, off)) < 0.2, found


@pytest.mark.parametrize("std", [0.002, 0.005, 0.01])
def test_little_noise_is_never_made_more(std, crops, denoiser):
    y = measure(rgmkit.degradation("gaussian-noise", noise=std), crops)
    assert psnr(denoiser.denoise(y, std), crops) > psnr(y, crops) - 0.02


@pytest.mark.parametrize(
    ("operator", "said"),
    [
        (Broken(noise=0.1), "Broken.A gives values that are not finite"),
        (Gain(factor=0.0, noise=0.1), "Gain.A is 0 for white noise: it measures nothing"),
        (Affine(noise=0.1), r"Affine says that it is linear, but A\(a \+ b\) is not A\(a\) \+ A\(b\)"),
        (Clipped(noise=0.1), "Clipped says that it is linear"),
    ],
)
@pytest.mark.parametrize("prior", ["photographs", "tv"])
def test_an_operator_that_is_wrong_is_refused(operator, said, prior, crops):
    with pytest.raises(IncompatibleError, match=said):
        rgmkit.restore(crops, operator, prior)


def test_an_operator_that_is_wrong_is_one_line_for_the_command_line(tmp_path, capsys):
    (tmp_path / "ops.py").write_text(
        "import rgmkit\n"
        "class Offset(rgmkit.Degradation):\n"
        "    '''Adds.'''\n"
        "    def A(self, x):\n        return x + 1\n"
        "@rgmkit.hookimpl\n"
        "def rgmkit_components():\n    return [rgmkit.Component('degradation', 'offset', Offset, 'Adds')]\n"
    )
    picture = tmp_path / "y.npy"
    np.save(picture, np.full((16, 16), 0.5, dtype=np.float32))
    plugin, out = str(tmp_path / "ops.py"), str(tmp_path / "x.npy")
    arguments = ["restore", str(picture), "-d", "offset:noise=0.1", "--prior", "tv", "-o", out]
    with pytest.raises(SystemExit) as ended:
        main(["--plugin", plugin, *arguments])
    error = capsys.readouterr().err.strip()
    assert ended.value.code == 2 and error.count("\n") == 0 and "Offset says that it is linear" in error
    assert not (tmp_path / "x.npy").exists()
