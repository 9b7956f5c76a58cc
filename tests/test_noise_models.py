from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from analytic import GaussianRestorer
from pictures import CAMERA

import rgmkit
import rgmkit.testing
from rgmkit import Streams
from rgmkit.core.noise import Noise, White
from rgmkit.core.noise_estimation import affine_variance
from rgmkit.core.prior import NoPrior
from rgmkit.core.random import seeded
from rgmkit.core.solver import Problem
from rgmkit.core.whitened import Whitened
from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit.resolve import resolve_degradation, resolve_noise
from rgmkit.solvers.measurement import noise_of
from rgmkit.solvers.noise_groups import _join_traces as join_traces
from rgmkit.solvers.noise_levels import differs

SHAPE = (3, 6, 5)


def images(n=1, shape=SHAPE):
    return 0.1 + 0.9 * torch.rand(n, *shape, generator=seeded(1), dtype=torch.float64)


def spectrum(height, width):
    y, x = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    return 0.01 / (0.05 + y**2 + 2 * x**2 + x * y)


MODELS = {
    "white": lambda: White(std=0.2),
    "per-channel": lambda: rgmkit.noise("per-channel", std=(0.1, 0.3, 0.2)),
    "per-pixel": lambda: rgmkit.noise("per-pixel", std=0.1 + images()[0]),
    "spectrum": lambda: rgmkit.noise("correlated", spectrum=spectrum(6, 5)),
    "kernel": lambda: rgmkit.noise("correlated", kernel=np.array([[0.2, 1.0], [0.5, 0.0]]), std=0.3),
    "poisson": lambda: rgmkit.noise("poisson", photons=20),
    "poisson-gaussian": lambda: rgmkit.noise("poisson-gaussian", photons=20, read=0.1),
    "scaled": lambda: rgmkit.noise("poisson-gaussian", photons=20, read=0.1).scale(0.5),
}


def covariance(noise: Noise, Ax):
    """The covariance by brute force: of Gaussian models through the definition of each, not through its methods."""
    n = Ax.numel()
    if getattr(noise, "kernel", None) is not None:
        rows = []
        for i in range(n):
            e = torch.zeros(n, dtype=Ax.dtype)
            e[i] = 1
            rolled = [noise.kernel[a, b] * e.view_as(Ax).roll((a, b), (-2, -1)) for a in range(2) for b in range(2)]
            rows.append(sum(rolled).flatten())
        C = torch.stack(rows).T
        C = C @ C.T
        return C * (noise.std**2 / C[0, 0])
    if getattr(noise, "spectrum", None) is not None:
        S = torch.from_numpy(noise.spectrum)
        S = (S + S.flip(0, 1).roll((1, 1), (0, 1))) / 2
        row = torch.fft.ifft2(S).real  # the autocovariance
        columns = [row.roll((i, j), (0, 1)).flatten() for i in range(Ax.shape[-2]) for j in range(Ax.shape[-1])]
        return torch.block_diag(*[torch.stack(columns)] * Ax.shape[1])
    return torch.diag(noise.variance(Ax).expand(Ax.shape).flatten())


@pytest.mark.parametrize("name", MODELS)
def test_draws_have_mean_and_covariance(name):
    noise, Ax, n = MODELS[name](), images(), 20000
    draws = noise.sample(Ax.expand(n, -1, -1, -1), generator=seeded(2)).flatten(1) - Ax.flatten(1)
    C = covariance(noise, Ax)
    assert (draws.mean(0).abs() <= 5 * (C.diagonal() / n).sqrt()).all()
    scale = (C.diagonal()[:, None] * C.diagonal()).sqrt()
    kurtosis = 3 if name not in ("poisson", "poisson-gaussian", "scaled") else 6
    assert ((draws.T @ draws / n - C).abs() <= 5.5 * scale * math.sqrt(kurtosis / n)).all()


@pytest.mark.parametrize("name", MODELS)
def test_whitening_is_the_inverse_root_of_the_covariance(name):
    noise, Ax = MODELS[name](), images()
    C = covariance(noise, Ax)
    basis = torch.eye(Ax.numel(), dtype=Ax.dtype).view(-1, *SHAPE)
    W = noise.whiten(basis, Ax).flatten(1).T
    torch.testing.assert_close(W @ C @ W.T, torch.eye(len(C), dtype=C.dtype), atol=1e-9, rtol=0)
    torch.testing.assert_close(noise.colour(noise.whiten(basis, Ax), Ax), basis, atol=1e-9, rtol=0)
    torch.testing.assert_close(noise.variance(Ax).expand(Ax.shape).flatten(), C.diagonal(), atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_whitened_prox_minimises_the_fidelity(name):
    noise, x = MODELS[name](), images()
    blur = rgmkit.degradation("blur", std=0.7)
    Ax = blur.A(x)
    y, z = noise.sample(Ax, generator=seeded(3)), images()
    whitened = Whitened(blur, noise, Ax)
    gamma = 0.7 / whitened.noise**2
    found = whitened.prox(z, whitened.whiten(y), gamma).flatten()
    A = blur.A(torch.eye(x.numel(), dtype=x.dtype).view(-1, *SHAPE)).flatten(1).T
    precision = torch.linalg.inv(covariance(noise, Ax))
    H = torch.eye(len(A), dtype=A.dtype) + 0.7 * A.T @ precision @ A
    b = z.flatten() + 0.7 * A.T @ precision @ y.flatten()
    wanted = torch.linalg.solve(H, b)
    torch.testing.assert_close(found, wanted, atol=1e-5 * float(b.norm()), rtol=0)  # the residual of the iteration


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("check", rgmkit.testing.checks("noise"))
def test_models_conform(name, check):
    check(MODELS[name](), SHAPE)


def test_checks_find_what_is_wrong():
    class Wrong(rgmkit.Noise):
        factor = 1.0

        def variance(self, Ax):
            return torch.full_like(Ax, 0.04)

        def sample(self, Ax, *, generator=None):
            return Ax + self.factor * super().sample(torch.zeros_like(Ax), generator=generator)

    rgmkit.testing.check_all("noise", Wrong(), SHAPE)
    Wrong.factor = 1.2
    with pytest.raises(AssertionError, match="variance of the draws"):
        rgmkit.testing.check_all("noise", Wrong(), SHAPE)


def test_deepinv_gets_the_noise_model_and_gives_it_back():
    degradation = rgmkit.degradation("blur", std=1, noise=rgmkit.noise("poisson", photons=30))
    physics, x = degradation.to_deepinv((1, 16, 16)), photograph(16)
    torch.manual_seed(0)
    error = torch.cat([physics(x) - degradation.A(x) for _ in range(50)])
    assert float(error.square().mean()) == pytest.approx(
        float(degradation.noise.variance(degradation.A(x)).mean()), rel=0.1
    )
    assert resolve_degradation(physics).noise.photons == 30


def photograph(side=64):
    return torch.nn.functional.avg_pool2d(CAMERA, 4)[..., :side, :side]


def psnr(x, truth):
    return -10 * math.log10(float((x.clamp(0, 1) - truth).square().mean()))


def test_white_noise_stays_a_number():
    degradation = rgmkit.degradation("blur", std=1, noise=rgmkit.noise("white", std=0.2))
    assert degradation.noise * 2 == 0.4 and f"{degradation.noise:g}" == "0.2"
    x = photograph()
    plain = rgmkit.degradation("blur", std=1, noise=0.2)
    assert torch.equal(degradation(x, generator=Streams(0, [0])), plain(x, generator=Streams(0, [0])))
    assert rgmkit.degradation("blur", std=1, noise=rgmkit.noise("poisson", photons=9)).at(0).noise == 0


def test_noise_is_given_in_specs_and_mappings():
    for given in ("blur:noise={use: poisson, photons: 9}", {"use": "blur", "noise": {"use": "poisson", "photons": 9}}):
        assert resolve_degradation(given).noise.photons == 9
    assert resolve_degradation("blur", noise="poisson:photons=9").noise.photons == 9
    assert resolve_degradation("blur", noise="0.1").noise == resolve_degradation("blur", noise=0.1).noise == 0.1
    assert resolve_degradation("blur:noise={use: white, std: 0.1}").noise == 0.1
    with pytest.raises(ConfigError, match="keep one of them"):
        resolve_degradation("blur:noise=0.1", noise=0.2)
    with pytest.raises(ConfigError, match=r"degradation\.noise is 'poison': give .*the nearest is 'poisson'"):
        resolve_degradation("blur:noise=poison")


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("poisson", {"photons": -1.0}, "photons is -1"),
        ("poisson", {"photons": 1e-300}, "photons is 1e-300"),
        ("poisson-gaussian", {"read": -1.0}, "read is -1"),
        ("per-pixel", {"std": np.array([[-1.0, 1.0]])}, "negative"),
        ("per-pixel", {"std": np.full((2, 2), np.inf)}, "no std is finite"),
        ("per-channel", {"std": (0.1, math.nan)}, "NaN"),
        ("correlated", {}, "give one of them"),
        ("correlated", {"spectrum": np.array([[1.0, -1.0]])}, "0 or more"),
        ("correlated", {"kernel": np.ones((2, 2))}, "give the positive"),
        ("white", {"std": math.inf}, "give a number, and finite"),
    ],
)
def test_what_is_no_noise_is_refused(name, options, match):
    with pytest.raises(ConfigError, match=match) as caught:
        rgmkit.noise(name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "noise",
    [
        rgmkit.noise("per-pixel", std=np.ones((3, 4))),
        rgmkit.noise("per-channel", std=(0.1, 0.2)),
        rgmkit.noise("correlated", spectrum=np.ones((3, 4))),
        rgmkit.noise("correlated", kernel=np.ones((65, 1)), std=0.1),
    ],
)
def test_noise_of_another_shape_is_refused(noise):
    with pytest.raises(IncompatibleError, match="the measurement"):
        rgmkit.restore(photograph(), rgmkit.degradation("gaussian-noise", noise=noise), "tikhonov")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["spectrum", "kernel"])
def test_correlated_noise_of_half_precision_is_computed_in_float32(name, dtype):
    noise, x = MODELS[name](), images().to(dtype)
    white = torch.randn(x.shape, generator=seeded(4)).to(dtype)
    for method in (noise.whiten, noise.colour):
        assert torch.equal(method(white, x), method(white.float(), x.float()).to(dtype))
    assert torch.equal(noise.variance(x), noise.variance(x.float()).to(dtype))
    y = rgmkit.degradation("gaussian-noise", noise=noise)(x, generator=seeded(5))
    assert y.dtype == dtype and rgmkit.restore(y, rgmkit.degradation("gaussian-noise", noise=noise), "tikhonov")


def test_each_image_of_a_batch_gets_its_own_noise():
    x = photograph(48)
    clean, noisy = (rgmkit.degradation("gaussian-noise", noise=s)(x, generator=Streams(0, [0])) for s in (0.02, 0.2))
    photons = rgmkit.degradation("gaussian-noise", noise=rgmkit.noise("poisson", photons=40))
    counted = photons(x, generator=Streams(0, [0]))
    solution = rgmkit.restore(torch.cat([clean, noisy, counted]), "gaussian-noise", "tv")
    alone = [rgmkit.restore(y, "gaussian-noise", "tv") for y in (clean, noisy, counted)]
    assert torch.equal(solution.x, torch.cat([one.x for one in alone]))
    assert solution.noise[:2] == (alone[0].noise, alone[1].noise) and 5 * solution.noise[0] < solution.noise[1]
    assert solution.notes == tuple(f"image {i}: {one.notes[0]}" for i, one in enumerate(alone))
    known = rgmkit.restore(torch.cat([counted, counted]), photons, "tv")
    one = rgmkit.restore(counted, photons, "tv")
    assert torch.equal(known.x, torch.cat([one.x, one.x])) and known.nfe == one.nfe


@pytest.mark.parametrize("operator", ["gaussian-noise", "blur:std=1"])
def test_noise_that_grows_with_the_signal_is_found(operator):
    x = CAMERA
    noise = rgmkit.noise("poisson-gaussian", photons=50, read=0.03)
    y = rgmkit.degradation(operator, noise=noise)(x, generator=Streams(0, [0]))
    [(_, known)], notes = resolve_noise(resolve_degradation(operator), y, rgmkit.solver("admm"))
    found = known.noise
    assert found.photons == pytest.approx(50, rel=0.2) and found.read == pytest.approx(0.03, rel=0.3)
    assert "grows with the signal" in notes[0]
    given = rgmkit.noise("poisson-gaussian", read=0.03).estimate(y)
    assert given.photons == pytest.approx(50, rel=0.2) and given.read == 0.03
    given = rgmkit.noise("poisson-gaussian", photons=50).estimate(y)
    assert given.photons == 50 and given.read == pytest.approx(0.03, rel=0.3)


def test_the_dark_ground_of_cells_does_not_mislead():
    x = torch.full((1, 1, 192, 192), 0.03)
    x[..., 40:80, 40:80], x[..., 100:140, 90:130], x[..., 20:40, 120:170] = 0.4, 0.8, 0.6
    noise = rgmkit.noise("poisson", photons=30)
    y = rgmkit.degradation("gaussian-noise", noise=noise)(x, generator=Streams(0, [0]))
    assert 1 / affine_variance(y).a == pytest.approx(30, rel=0.25)


def test_white_noise_does_not_grow_with_the_signal():
    x = CAMERA[..., :256, :256]
    for std in (0.02, 0.1):
        y = rgmkit.degradation("gaussian-noise", noise=std)(x, generator=Streams(0, [0]))
        assert affine_variance(y).certainty < 2


def test_photon_noise_is_stabilised():
    noise = rgmkit.noise("poisson-gaussian", photons=30, read=0.02)
    stabiliser = noise.stabiliser()
    ends = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(stabiliser.forward(ends), ends)
    for value in (0.1, 0.5, 0.9):
        z = stabiliser.forward(noise.sample(torch.full((1, 200000), value), generator=seeded(0)))
        assert float(z.std()) == pytest.approx(stabiliser.std, rel=0.06)
        assert float(stabiliser.inverse(z.mean())) == pytest.approx(value, abs=3e-3)  # without bias


@pytest.mark.parametrize("operator", ["gaussian-noise", "blur:std=1"])
@pytest.mark.parametrize("prior", ["tv", "photographs"])
def test_photon_noise_is_not_white(operator, prior):
    x = (photograph() ** 3).clamp(min=0.02)  # mostly dark
    noise = rgmkit.noise("poisson", photons=30)
    degradation = rgmkit.degradation(operator, noise=noise)
    y = degradation(x, generator=Streams(0, [0]))
    white = degradation.with_noise(float(noise.variance(x).mean().sqrt()))
    solution = rgmkit.restore(y, degradation, prior)
    assert psnr(solution.x, x) > psnr(rgmkit.restore(y, white, prior).x, x) + 0.5
    if operator == "gaussian-noise":  # it is the transformed image that is restored, once
        z = noise.stabiliser().forward(y)
        once = rgmkit.restore(z, degradation.with_noise(noise.stabiliser().std), prior)
        assert torch.equal(solution.x, noise.stabiliser().inverse(once.x)) and solution.nfe == once.nfe


def test_the_evaluations_of_both_solutions_under_photon_noise_are_counted():
    degradation, prior = rgmkit.degradation("blur:std=1", noise=rgmkit.noise("poisson", photons=30)), GaussianRestorer()
    solution = rgmkit.restore(photograph()[..., :4, :6], degradation, prior, solver="one-shot")
    assert solution.nfe == len(prior.calls) > 1


@pytest.mark.parametrize("prior", ["tv", "photographs"])
def test_halves_of_unlike_noise_are_restored_as_well_as_alone(prior):
    x, std = photograph(), torch.full((64, 64), 0.02)
    std[:, 32:] = 0.2
    degradation = rgmkit.degradation("gaussian-noise", noise=rgmkit.noise("per-pixel", std=std))
    y = degradation(x, generator=Streams(0, [0]))
    whole = rgmkit.restore(y, degradation, prior).x
    for half, noise in ((slice(0, 32), 0.02), (slice(32, 64), 0.2)):
        alone = rgmkit.restore(y[..., half], degradation.with_noise(noise), prior).x
        assert psnr(whole[..., half], x[..., half]) > psnr(alone, x[..., half]) - 0.1


@pytest.mark.parametrize("prior", ["tv", "photographs"])
def test_the_spectrum_of_correlated_noise_is_worth_a_decibel(prior):
    x = photograph()
    noise = rgmkit.noise("correlated", kernel=np.ones((1, 5)), std=0.1)
    degradation = rgmkit.degradation("gaussian-noise", noise=noise)
    y = degradation(x, generator=Streams(0, [0]))
    white = rgmkit.restore(y, degradation.with_noise(0.1), prior).x
    assert psnr(rgmkit.restore(y, degradation, prior).x, x) > psnr(white, x) + 1


def test_dead_pixels_count_for_nothing():
    x, std = photograph(), torch.full((64, 64), 0.05)
    std[::7, ::5] = torch.inf
    degradation = rgmkit.degradation("blur", std=0.7, noise=rgmkit.noise("per-pixel", std=std))
    y = degradation(x, generator=Streams(0, [0]))
    even = degradation.A(torch.full_like(x, 0.7))
    whitened = Whitened(degradation, degradation.noise, even)
    start = whitened.initial_estimate(whitened.whiten(even))
    torch.testing.assert_close(start, torch.full_like(x, 0.7), atol=0.01, rtol=0)  # holes are filled
    assert whitened.embed(whitened.whiten(even))[..., 1:7, :].allclose(degradation.embed(even)[..., 1:7, :])
    restored = rgmkit.restore(y, degradation, "tv").x
    assert torch.equal(restored, rgmkit.restore(torch.where(std.isinf(), 9.0, y), degradation, "tv").x)
    assert psnr(restored, x) > psnr(rgmkit.restore(y, degradation.with_noise(0.05), "tv").x, x) - 0.7


def test_noise_is_scaled_from_either_side():
    noise = rgmkit.noise("per-channel", std=[0.1, 0.2])
    assert str(noise * 0.5) == str(0.5 * noise) == "ScaledNoise(noise=PerChannel(std=(0.1, 0.2)), factor=0.5)"


def test_the_residual_of_groups_is_that_of_all_their_images():
    one, other = (
        [{"residual": 1.0, "change": 0.5}, {"residual": 2.0, "change": 0.1}],
        [{"residual": 3.0, "change": 0.2}],
    )
    first, second = join_traces([one, other], [3, 1])
    assert first == {"residual": pytest.approx(3**0.5), "change": 0.5}
    assert second == {"residual": pytest.approx((21 / 4) ** 0.5), "change": 0.2}


def test_one_level_suffices_where_averages_of_21_pixels_are_alike():
    """At the edge 11 of them are in the image: with 4 of std s and 7 of std 1, `(4 / s^2 + 7) / 11` against 1.5^2."""
    std = torch.ones(1, 1, 64, 64)
    for information, unlike in ((4, False), (5, True)):
        std[..., :4] = information**-0.5
        assert differs(std) == unlike


def test_the_least_noise_follows_the_depth_of_the_data():
    x, blur = photograph(), rgmkit.degradation("blur", std=1.5)
    y = blur.A(x)
    deep, shallow = ((y * steps).round() / steps for steps in (65535, 255))
    for measurement, noise, least in [
        (deep, 0, 1e-5),
        (shallow, 0, 1e-3),
        (y, 0, 1e-3),
        (y, 1e-4, 1e-4),
        (y, 0.01, 0.01),
    ]:
        problem = Problem.from_measurement(measurement, blur.with_noise(noise), NoPrior())
        assert noise_of(problem) == pytest.approx(least, rel=0.02)
    assert psnr(rgmkit.restore(deep, blur, "tv").x, x) > psnr(rgmkit.restore(shallow, blur, "tv").x, x) + 1
    even = torch.arange(256).expand(1, 32, 256).float() * 16
    for bits, largest in ((8, 4080), (16, 65535)):
        _, notes = resolve_noise(resolve_degradation("blur"), even[None] / largest, rgmkit.solver("admm"))
        assert "no noise was found" in notes[0]
        assert "the rounding of" in notes[0] and (bits == 8) == ("8 bits" in notes[0])


@pytest.mark.parametrize(
    "solver", ["pgd", "fista", "hqs", "pnp-drs", "posterior", "one-shot", "cascade", "back-projection", "pinv"]
)
def test_every_solver_takes_every_noise(solver):
    x = photograph(16)
    prior = None if solver == "pinv" else "tv" if solver in ("pgd", "fista", "hqs") else "digits"
    halves = torch.full((16, 16), 0.02)
    halves[:8] = 0.1
    models = [rgmkit.noise("per-pixel", std=halves), rgmkit.noise("correlated", kernel=np.ones((2, 2)), std=0.05)]
    for noise in [rgmkit.noise("poisson", photons=200), *models]:
        degradation = rgmkit.degradation("blur", std=0.4, noise=noise)
        y = degradation(x, generator=Streams(0, [0]))
        assert psnr(rgmkit.restore(y, degradation, prior, solver=solver).x, x) > 15
    if solver in ("posterior", "pnp-drs"):
        both, degradation = torch.cat([y, y.flip(-1)]), degradation.with_noise(models[0])
        drawn = rgmkit.restore(both, degradation, prior, solver=solver, samples=2)
        assert drawn.samples.shape == (2, 2, 1, 16, 16) and float(drawn.std.max()) > 0
        found, alone = (rgmkit.restore(some, degradation, prior, solver=solver) for some in (both, y))
        torch.testing.assert_close(found.x[:1], alone.x, rtol=0, atol=1e-5)
