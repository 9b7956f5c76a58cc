"""deepinv's operators, priors and denoisers passed as they are."""

from __future__ import annotations

import copy
import subprocess
import sys

import deepinv
import pytest
import rgmkit_deepinv
import torch
from pictures import uniform
from rgmkit_deepinv.objects import from_deepinv
from rgmkit_deepinv.physics import Physics

import rgmkit
from rgmkit import plugins
from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError, DataError, IncompatibleError
from rgmkit.testing import checks

psnr = rgmkit.metric("psnr")


@pytest.mark.slow
def test_an_operator_of_deepinv_is_a_degradation_as_it_is():
    noise = deepinv.physics.GaussianNoise(0.05)
    x = uniform(2, 1, 16, 16)
    taps = deepinv.physics.functional.blur.gaussian_blur(sigma=(1.0, 1.0))
    for physics in [
        deepinv.physics.Tomography(angles=30, img_width=16, normalize=True, noise_model=noise),
        deepinv.physics.Blur(filter=taps, padding="valid", noise_model=noise),  # tells no shape: its adjoint does
        deepinv.physics.Inpainting(img_size=(1, 16, 16), mask=0.5, noise_model=noise, rng=seeded(1)),
        deepinv.physics.SinglePixelCamera(m=100, img_size=(1, 16, 16), noise_model=noise),
        deepinv.physics.Denoising(noise),
    ]:
        before = copy.deepcopy(vars(physics.clone())), {k: v.clone() for k, v in physics.state_dict().items()}
        y = physics.A(x)
        attributes = dict(vars(physics))
        solution = rgmkit.restore(y, physics, "tv", solver="pgd:iterations=5")
        assert solution.x.shape == x.shape, physics
        assert all(torch.equal(value, before[1][key]) for key, value in physics.state_dict().items())
        assert vars(physics).keys() == before[0].keys() and all(vars(physics)[k] is v for k, v in attributes.items())
        degradation = from_deepinv(physics)
        assert degradation.noise == pytest.approx(0.05)
        pointers = {tensor.data_ptr() for tensor in physics.state_dict().values()}
        assert not pointers & {tensor.data_ptr() for tensor in degradation.state_dict().values()}


def test_the_first_guess_of_an_even_image_is_even():
    taps = torch.ones(1, 1, 5, 5) / 25
    for physics in [
        deepinv.physics.Blur(filter=taps, padding="valid"),  # whose back-projection fades at the border
        deepinv.physics.Downsampling(img_size=(1, 16, 16), filter=None, factor=2),  # leaves three quarters out
        deepinv.physics.Tomography(angles=30, img_width=16, normalize=True),
        deepinv.physics.Inpainting(img_size=(1, 16, 16), mask=0.5, rng=seeded(1)),
    ]:
        degradation, x = from_deepinv(physics), torch.full((1, 1, 16, 16), 0.7)
        torch.testing.assert_close(degradation.embed(degradation.A(x)), x, rtol=0, atol=1e-4)


def test_moving_the_copy_moves_nothing_of_the_users():
    physics = deepinv.physics.Inpainting(img_size=(1, 4, 4), mask=torch.ones(1, 4, 4))
    denoiser = deepinv.models.DnCNN(1, 1, depth=3, nf=4, pretrained=None)
    from_deepinv(physics).to("meta")
    from_deepinv(denoiser).to("meta")
    assert physics.mask.device.type == "cpu" and next(denoiser.parameters()).device.type == "cpu"


def test_what_an_operator_does_not_tell_is_asked_for():
    class Silent(deepinv.physics.LinearPhysics):
        def A(self, x, **options):
            return x.flatten(1)[:, ::2]

        def A_adjoint(self, y, **options):
            raise RuntimeError("no idea")

    y = uniform(1, 8)
    with pytest.raises(IncompatibleError, match=r"by Silent is unknown \(no idea\).*image_shape=\(C, H, W\)"):
        rgmkit.restore(y, Silent(), "tv")
    blur = from_deepinv(deepinv.physics.Blur(filter=torch.ones(1, 1, 3, 3) / 9, padding="valid"), noise=0.1)
    for one in (blur, copy.deepcopy(blur)):
        assert torch.equal(one.A(uniform(1, 1, 8, 8)), blur.A(uniform(1, 1, 8, 8))) and one.noise == 0.1
        with pytest.raises(DataError, match=r"^Blur: the noise of a measurement"):  # the name that the user knows
            one.estimate_noise(torch.ones(3))
    physics = deepinv.physics.Denoising(deepinv.physics.PoissonNoise(0.1))
    with pytest.raises(ConfigError, match=r"PoissonNoise.*from_deepinv\(physics, noise=…\)"):
        rgmkit.restore(uniform(1, 1, 4, 4), physics, "tv")


def test_complex_measurements_stay_complex_in_any_precision():
    physics = deepinv.physics.LinearPhysics(
        A=lambda x, **_: torch.fft.fft2(x, norm="ortho"),
        A_adjoint=lambda y, **_: torch.fft.ifft2(y, norm="ortho").real,
        noise_model=deepinv.physics.GaussianNoise(0.05),  # holds a float32 tensor
    )
    fourier, x = from_deepinv(physics), uniform(1, 1, 8, 8).double()
    y = fourier.A(x)
    torch.testing.assert_close(y, torch.fft.fft2(x, norm="ortho"), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fourier.adjoint(y), x, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_priors_and_denoisers_of_deepinv_are_priors_as_they_are():
    y = uniform(1, 1, 12, 12)
    for prior in [
        deepinv.optim.TVPrior(n_it_max=10),
        deepinv.optim.L1Prior(),
        deepinv.optim.PnP(deepinv.models.MedianFilter(3)),
        deepinv.models.BilateralFilter(),
        deepinv.models.BM3D(),  # holds a Python module, which cannot be copied
    ]:
        attributes = dict(vars(prior))
        x = rgmkit.restore(y, "gaussian-noise:noise=0.1", prior, solver="pgd:iterations=1").x
        assert x.shape == y.shape and not torch.equal(x, y)
        assert all(vars(prior)[key] is value for key, value in attributes.items())
    with pytest.raises(IncompatibleError, match=r"RED is not a deepinv.*its denoiser, prior.denoiser, is one"):
        rgmkit.restore(y, "gaussian-noise:noise=0.1", deepinv.optim.RED(deepinv.models.MedianFilter()))
    with pytest.raises(ConfigError, match="give a degradation"):
        rgmkit.restore(y, object(), "tv")


def test_priors_of_deepinv_have_a_weight_that_suits_the_noise_or_a_note():
    y, blur = uniform(1, 1, 16, 16), "blur:std=1,noise=0.05"
    haar = deepinv.optim.WaveletPrior(level=2, wv="haar")  # on these sides no border comes in
    for thing, spec in [(haar, "wavelet:wavelet=haar,levels=2"), (deepinv.optim.TVL1Prior(), "deepinv.TVL1")]:
        as_it_is, by_name = (rgmkit.restore(y, blur, prior, solver="admm:iterations=5") for prior in (thing, spec))
        torch.testing.assert_close(as_it_is.x, by_name.x)
        assert not as_it_is.notes
    smooth = deepinv.optim.SmoothedTVPrior()
    (note,) = rgmkit.restore(y, blur, smooth, solver="pgd:iterations=1").notes
    assert "so 1 is used: give one, rgmkit_deepinv.objects.from_deepinv(prior, weight=" in note
    assert not rgmkit.restore(y, blur, from_deepinv(smooth, weight=2), solver="pgd:iterations=1").notes


def test_the_prox_of_a_wavelet_prior_of_deepinv_is_that_of_its_value():
    detail = torch.tensor([[[[0.5, 0.5], [-0.5, -0.5]]]])  # one Haar coefficient, 1
    count = from_deepinv(deepinv.optim.WaveletPrior(level=1, wv="haar", p=0), weight=2)
    x = torch.cat([0.19 * detail, 0.21 * detail])
    torch.testing.assert_close(count.prox(x, 0.01), torch.cat([0 * detail, 0.21 * detail]))  # from c^2 / 2 = 0.02 on
    with pytest.raises(IncompatibleError, match=r"WaveletPrior\(p=inf\) is not that of its value: give p=1"):
        from_deepinv(deepinv.optim.WaveletPrior(level=1, wv="haar", p="inf"), weight=2)


def test_there_and_back_is_the_same_degradation():
    blur = rgmkit.degradation("blur:std=1,noise=0.05")
    physics = blur.to_deepinv((1, 8, 8))
    back = from_deepinv(physics)
    assert type(back) is type(blur) and back is not blur and back.noise == blur.noise
    louder = from_deepinv(physics, noise=0.2)
    assert isinstance(louder, Physics) and louder.noise == 0.2
    y = uniform(1, 1, 8, 8)
    torch.testing.assert_close(rgmkit.restore(y, physics, "tv").x, rgmkit.restore(y, blur, "tv").x)


def test_holes_and_total_variation_of_deepinv_are_those_of_rgmkit():
    x = uniform(2, 3, 24, 20)
    mask = (uniform(3, 24, 20, seed=1) > 0.5).float()  # of each channel its own
    holes = deepinv.physics.Inpainting(img_size=(3, 24, 20), mask=mask, noise_model=deepinv.physics.GaussianNoise(0.02))
    first = from_deepinv(holes).embed(mask * x)
    assert torch.equal(mask * first, mask * x) and float(first[(mask == 0).expand_as(first)].min()) > 0
    y = mask * x
    as_it_is = rgmkit.restore(y, holes, deepinv.optim.TVPrior(), solver="admm:iterations=5").x
    by_name = rgmkit.restore(y, holes, "tv:coupled=false", solver="admm:iterations=5").x
    assert torch.equal(as_it_is, by_name)


def foreign_operators():
    taps = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None] / 16
    mask = (uniform(1, 8, 12, dtype=torch.float64) > 0.4).double()
    noise = deepinv.physics.GaussianNoise(0.1)
    yield deepinv.physics.Inpainting(img_size=(1, 8, 12), mask=mask, noise_model=noise), None
    yield deepinv.physics.Blur(filter=taps, padding="valid"), (1, 10, 14)


@pytest.mark.parametrize("check", checks("degradation"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("case", list(foreign_operators()), ids=lambda case: type(case[0]).__name__)
@pytest.mark.filterwarnings("ignore::rgmkit.errors.AccuracyWarning")
def test_an_operator_of_deepinv_as_a_degradation(case, check):
    if check.__name__ == "dtypes":
        pytest.skip("an operator of deepinv works in its own precision")
    degradation = Physics(physics=case[0], image_shape=case[1]).double()
    check(degradation, case[1] or (1, 8, 12))


@pytest.mark.slow
def test_what_deepinv_gives_is_copied_and_used(photo):
    angles = deepinv.physics.Tomography(angles=40, img_width=64, normalize=True)
    options = dict(vars(angles))
    tomography = from_deepinv(angles, image_shape=(1, 64, 64), noise=0.01)
    y = tomography(photo, generator=seeded(0))
    x = rgmkit.restore(y, tomography, "tv", solver="pgd").x
    assert psnr(x, photo) > psnr(tomography.embed(y), photo) + 3
    assert {name: vars(angles)[name] for name in options} == options
    denoiser = from_deepinv(deepinv.optim.PnP(deepinv.models.MedianFilter()))
    assert denoiser.provides == {"prox"} and denoiser.prox(photo, 0.01).shape == photo.shape
    with pytest.raises(ConfigError, match="PoissonNoise"):
        from_deepinv(deepinv.physics.Denoising(deepinv.physics.PoissonNoise(0.1)))
    with pytest.raises(IncompatibleError, match="StackedPhysics"):
        from_deepinv(deepinv.physics.stack(deepinv.physics.Denoising(), deepinv.physics.SpatialUnwrapping()))


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [None, 4])
def test_operators_that_are_not_linear_pass_through(photo, ratio):
    x = photo[..., 20:52, 20:52]
    noise = deepinv.physics.GaussianNoise(0.05)
    physics = deepinv.physics.Physics(A=lambda x: x.square() + x.roll(1, -1) / 2, noise_model=noise)
    if ratio:
        m, rng = ratio * x[0].numel(), torch.Generator().manual_seed(0)
        physics = deepinv.physics.RandomPhaseRetrieval(m, tuple(x.shape[1:]), rng=rng, noise_model=noise)
    operator = from_deepinv(physics)
    y = operator(x, generator=seeded(0))
    assert not operator.linear and operator.noise == pytest.approx(0.05)
    assert torch.equal(operator.A(x), physics.A(x.to(torch.complex64) if ratio else x))
    solution = rgmkit.restore(y, physics, "tv")
    assert psnr(solution.x, x) > max(22, psnr(operator.initial_estimate(y), x) + 1)
    assert solution.trace[-1]["residual"] < 0.055


@pytest.mark.slow
def test_deepinv_is_not_imported_before_an_object_of_it_runs():
    code = (
        "import sys, torch, rgmkit\n"
        "from rgmkit.resolve import resolve_degradation, resolve_prior, resolve_solver\n"
        "y, blur = torch.rand(1, 8, 8), resolve_degradation('blur:noise=0.1')\n"
        "resolve_degradation(rgmkit.degradation('gaussian-noise'))\n"
        "tv, dps = resolve_prior('tv'), resolve_solver('deepinv.DPS', resolve_prior('deepinv.L1'), blur)\n"
        "admm = resolve_solver(None, tv, blur)\n"
        "rgmkit.restore(y, blur); rgmkit.restore(y, blur, 'digits')\n"
        "print(type(admm).__name__, 'deepinv' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.split() == ["ADMM", "False"], run.stderr


def test_the_list_of_components_imports_nothing_heavy():
    code = "import sys, rgmkit_deepinv as p; p.rgmkit_components(); print({'torch', 'deepinv'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


NAMES = [component.name for component in rgmkit_deepinv.rgmkit_components() if component.name.startswith("deepinv.")]


def test_every_name_has_a_page_and_a_summary():
    from click.testing import CliRunner

    from rgmkit.cli.app import cli

    shown = CliRunner().invoke(cli, ["plugins", "show", "deepinv.BM3D"])
    assert shown.exit_code == 0 and "Dabov" in shown.output
    assert {"deepinv.Tomography", "deepinv.BM3D", "deepinv.DPS"} <= set(NAMES) and len(NAMES) >= 14
    for component in map(plugins.find, NAMES):
        assert component[0].summary
        cls = plugins.load_class(component[0].kind, component[0].name)
        assert cls.__name__ == component[0].name.removeprefix("deepinv.") and cls.__doc__
