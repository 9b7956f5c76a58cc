from __future__ import annotations

import io
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from analytic import GaussianRestorer, Trainable

import rgmkit
import rgmkit.runtime.progress
from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import NoPrior, Prior
from rgmkit.core.random import Streams, randn, seeded
from rgmkit.core.solver import Solution, Solver
from rgmkit.errors import CheckpointError, ConfigError, DataError, IncompatibleError, PluginError
from rgmkit.inference import generate, generate_batches, restore
from rgmkit.models import find_model
from rgmkit.resolve import resolve_prior, resolve_solver
from rgmkit.runtime.modules import to_device


class Identity(Degradation):
    def A(self, x):
        return x


class Thin(Degradation):
    """Every second pixel each way."""

    def A(self, x):
        return x[..., ::2, ::2]

    def image_shape(self, y_shape):
        return (*y_shape[:-2], 2 * y_shape[-2], 2 * y_shape[-1])

    def embed(self, y):
        return y.repeat_interleave(2, -1).repeat_interleave(2, -2)


class Lost(Thin):
    """Says nothing of a first guess."""

    embed = Degradation.embed


class Grey(Degradation):
    def A(self, x):
        return x.mean(1, keepdim=True)

    def image_shape(self, y_shape):
        return (y_shape[0], 3, *y_shape[2:])

    def embed(self, y):
        return y.expand(-1, 3, -1, -1)


class Square(Degradation):
    linear = False

    def A(self, x):
        return x**2


class Anything(Prior):
    """Believes every image."""


class Stretch(Solver):
    """`gain * y`, at the size of the answer; keeps what it was asked."""

    needs_linear = False

    def __init__(self, gain=1.0):
        self.gain, self.problem = gain, None

    def _solve(self, problem, *, generator, callback):
        self.problem = problem
        x = torch.nn.functional.interpolate(problem.y, size=problem.shape[-2:], mode="nearest")
        return Solution(self.gain * x.expand(problem.shape), nfe=3, trace=[{"step": 1.0}])


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def ints(dtype, *shape):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


FORMS = {
    "tensor (C,H,W)": noise(3, 5, 7),
    "tensor (B,C,H,W)": noise(2, 5, 4, 7, dtype=torch.float64),
    "tensor uint8": torch.from_numpy(ints(np.uint8, 1, 5, 7)),
    "tensor uint16": torch.from_numpy(ints(np.uint16, 2, 1, 5, 7)),
    "tensor half": noise(3, 5, 7).half(),
    "tensor bfloat16, a view": noise(3, 5, 7).bfloat16().transpose(1, 2),
    "(H,W) uint8": ints(np.uint8, 5, 7),
    "(H,W) float64": noise(5, 7).double().numpy(),
    "(H,W,1) uint16": ints(np.uint16, 5, 7, 1),
    "(H,W,2) uint8, with alpha": ints(np.uint8, 5, 7, 2),
    "(H,W,3) float16": noise(5, 7, 3).half().numpy(),
    "(H,W,3) big-endian": noise(5, 7, 3).numpy().astype(">f4"),
    "(H,W,4) uint16, with alpha": ints(np.uint16, 5, 7, 4),
    "(H,W,3) a flipped view": ints(np.uint8, 5, 7, 3)[::-1, ::2],
    "(B,H,W,1)": ints(np.uint8, 2, 5, 7, 1),
    "(B,H,W,4) float64, with alpha": noise(2, 5, 7, 4).double().numpy(),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_answer_has_the_type_and_layout_of_the_question(form):
    y = FORMS[form]
    before = y.clone() if isinstance(y, torch.Tensor) else y.copy()
    solver = Stretch()
    solution = restore(y, Identity(), Anything(), solver=solver)
    assert type(solution.x) is type(y)
    assert solution.x.dtype == (y.dtype if isinstance(y, torch.Tensor) else y.dtype.newbyteorder("="))
    assert solution.x.shape == y.shape
    assert bool((solution.x == y).all())
    assert bool((y == before).all())
    asked = solver.problem.y
    assert asked.ndim == 4
    assert asked.dtype == (torch.float64 if "64" in str(y.dtype) else torch.float32)
    assert float(asked.max()) <= 1
    assert (solution.nfe, solution.trace) == (3, [{"step": 1.0}])
    assert solution.seconds > 0


def test_whole_numbers_are_clipped_and_rounded_and_floats_are_not():
    y = np.array([[0, 50, 101, 200]], np.uint8)
    assert restore(y, Identity(), Anything(), solver=Stretch(1.5)).x.tolist() == [[0, 75, 152, 255]]
    assert restore(y / 100, Identity(), Anything(), solver=Stretch(1.5)).x.max() == 3.0


def test_answers_of_another_size_or_channel_count_keep_the_layout():
    y = ints(np.uint8, 5, 7, 4)
    large = restore(y, Thin(), Anything(), solver=Stretch()).x
    assert (large == y.repeat(2, 0).repeat(2, 1)).all()  # alpha too
    grey = ints(np.uint8, 5, 7)
    assert (restore(grey, Grey(), Anything(), solver=Stretch()).x == grey[..., None].repeat(3, 2)).all()
    assert restore(noise(2, 1, 5, 7), Grey(), Anything(), solver=Stretch()).x.shape == (2, 3, 5, 7)


REFUSED = {
    "channels first in NumPy": (np.zeros((3, 8, 9)), "channels come last"),
    "five channels in NumPy": (np.zeros((2, 8, 9, 5)), "channels come last"),
    "a row": (np.zeros(8), "NumPy array of shape"),
    "a list": ([[0.0]], "is a list"),
    "int64": (np.zeros((4, 4), np.int64), "int64"),
    "bool": (torch.zeros(1, 4, 4, dtype=torch.bool), "holds bool: convert it"),
    "objects": (np.array([[None]]), "object"),
    "no images": (torch.zeros(0, 1, 4, 4), "no values"),
    "NaN": (torch.tensor([[[0.0, torch.nan]]]), "1 of 2 values that are NaN"),
    "infinity": (np.array([[np.inf, -np.inf]]), "2 of 2"),
    "NaN in alpha": (np.full((2, 2, 4), np.nan), "16 of 16"),
    "(H, W) tensor": (torch.zeros(8, 9), "give an image as"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_measurement_is_refused(case):
    y, part = REFUSED[case]
    with pytest.raises(DataError, match=part) as error:
        restore(y, Identity(), Anything(), solver=Stretch())
    assert "\n" not in str(error.value)


def test_the_prior_sets_the_precision():
    solver = Stretch()
    y = noise(1, 4, 6, dtype=torch.float64)
    x = restore(y, Identity(), Trainable(), solver=solver).x
    assert (solver.problem.y.dtype, x.dtype) == (torch.float32, torch.float64)
    restore(y.float(), Identity(), Trainable().double(), solver=solver)
    assert solver.problem.y.dtype == torch.float64


def test_a_model_refuses_what_it_was_not_trained_on():
    with pytest.raises(IncompatibleError, match="points of 2 values"):
        restore(noise(5, 2), Identity(), GaussianRestorer(), solver=Stretch())
    with pytest.raises(IncompatibleError, match=r"many-channel \(2, 4, 6\).*many-channel \(5, 4, 6\)"):
        restore(noise(5, 4, 6), Identity(), GaussianRestorer((2, 4, 6)), solver=Stretch())
    with pytest.raises(IncompatibleError, match="colour"):
        generate(GaussianRestorer(), 2, shape=(3, 4, 6))
    points = GaussianRestorer((2,), sample=False)
    assert restore(noise(5, 2), Identity(noise=0.1), points).x.shape == (5, 2)


def test_default_solvers():
    names = [
        type(resolve_solver(None, prior, degradation)).__name__
        for prior, degradation in [
            (GaussianRestorer(), Identity()),
            (GaussianRestorer(), Square()),
            (GaussianRestorer(), rgmkit.degradation("jpeg")),
            (GaussianRestorer(), rgmkit.degradation("compose", of=["blur", "jpeg"])),
            (Anything(), Square()),
            (NoPrior(), Square()),
            (Anything(), Identity()),
            (Anything(), rgmkit.degradation("blur")),
            (Anything(), rgmkit.degradation("blur", boundary="reflect")),
            (Anything(), rgmkit.degradation("downsample").at(0.5)),
        ]
    ]
    assert names == ["PnPDRS", "GaussNewton", "Dequantise", "OneShot", "GaussNewton", "GaussNewton", *["ADMM"] * 4]


def test_names_specs_and_models(tmp_path, monkeypatch):
    y = ints(np.uint8, 8, 9)
    x = restore(y, "gaussian-noise:noise=0.1", "tv:weight=5", solver={"use": "pgd", "iterations": 3}).x
    assert x.shape == y.shape
    assert isinstance(resolve_prior(GaussianRestorer()), GaussianRestorer)
    for missing in ("no/such/model", "./none"):
        with pytest.raises(CheckpointError, match=missing):
            resolve_prior(missing)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for weights in ("netG.pth", "models/netG.pth"):
        torch.save({"all_modules.0.weight": torch.zeros(2, 2)}, weights)
        with pytest.raises(CheckpointError, match="make a model folder of it with `rgmkit convert`"):
            resolve_prior(weights)
    with pytest.raises(PluginError, match=r"nobody.*models: "):
        resolve_prior("nobody")
    with pytest.raises(ConfigError, match="is a network: give a trained one"):
        resolve_prior("gan:center=0")
    with pytest.raises(ConfigError):
        restore(y, 3, "tv")


def test_a_model_takes_the_options_of_load(tmp_path, monkeypatch):
    shutil.copytree(Path(rgmkit.__file__).parent / "models" / "shipped" / "digits", tmp_path / "mine")
    half = rgmkit.generate(rgmkit.load("digits", dtype="bf16"), 2)
    monkeypatch.chdir(tmp_path)
    for asked in ("digits:dtype=bf16", "./mine:dtype=bf16", {"use": "mine", "dtype": "bf16"}):
        assert rgmkit.generate(asked, 2).equal(half)
    assert find_model("mine:dtype=bf16", Path("elsewhere")) is None
    with pytest.raises(ConfigError, match=r"'digits': did you mean 'dtype'\?"):
        resolve_prior("digits:dtpye=bf16")
    for options, wrong in (
        ({"dtype": ["bf16"]}, "dtype is "),
        ({"compile": "no"}, "compile is 'no': give True or False"),
    ):
        with pytest.raises(ConfigError, match=wrong):
            rgmkit.load("digits", **options)
    with pytest.raises(ConfigError, match=r"prior is an object of class dict_keys: give a prior"):
        resolve_prior({}.keys())
    with pytest.raises(ConfigError, match=r"prior is 3: give a prior"):
        resolve_prior(3)


@pytest.mark.parametrize(("prior", "has"), [(NoPrior(), "nothing"), (rgmkit.prior("tv"), "prox, value")])
def test_a_prior_says_what_it_has(prior, has):
    with pytest.raises(IncompatibleError, match=rf"has no grad \(it has {has}\)"):
        prior.grad(torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("x", [ints(np.uint8, 5, 7), torch.zeros(1, 1, 5, 7, dtype=torch.uint8)], ids=["array", "ints"])
def test_a_degradation_measures_floats_only(x):
    with pytest.raises(DataError, match="Identity measures tensors of floats"):
        Identity()(x)


def test_a_solution_is_shown_in_one_line():
    shown = repr(restore(noise(2, 1, 4, 6), Identity(noise=0.1), GaussianRestorer()))
    assert shown.startswith("Solution(x: Tensor (2, 1, 4, 6), nfe=")
    assert "\n" not in shown and len(shown) < 240
    assert "samples=3" in repr(rgmkit.Solution(noise(1, 1, 2, 2), samples=noise(3, 1, 1, 2, 2)))
    four, five = (repr(rgmkit.Solution(noise(n, 1, 2, 2), noise=(0.125,) * n)) for n in (4, 5))
    assert four.count("0.125") == 4 and "one for each" not in four and "<one for each of 5 images>" in five


def draws():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


def test_a_seed_gives_the_same_bits_and_the_global_generators_are_left_alone():
    prior, y = GaussianRestorer(), noise(3, 1, 4, 6)
    before = draws()
    degradation = Identity(noise=0.2)
    one, again, other = (restore(y, degradation, prior, seed=seed).x for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(generate(prior, 3, seed=1), generate(prior, 3, seed=1))
    assert not torch.equal(generate(prior, 3, seed=1), generate(prior, 3, seed=2))
    chain = {"solver": "cascade:start=2", "images": noise(3, 1, 4, 6), "seed": 1}
    assert torch.equal(generate(prior, 3, **chain), generate(prior, 3, **chain))
    assert draws() == before
    first = restore(y[0], degradation, prior, seed=1).x
    torch.testing.assert_close(first, one[0])  # image 0 draws the same alone


class Draw(Solver):
    """The first thing that the solver's generator gives."""

    generates = True

    def _solve(self, problem, *, generator, callback):
        self.drawn = randn(problem.shape, generator=generator)
        return Solution(self.drawn)


def test_one_seed_gives_measurement_restoration_and_generation_noise_of_their_own():
    y = Identity(noise=1)(torch.zeros(3, 1, 4, 6), generator=Streams(5, range(3)))
    solver, drawn = Draw(), [y]
    restore(y, Identity(), Anything(), solver=solver, seed=5)
    drawn.append(solver.drawn)
    generate(GaussianRestorer(), 3, solver=solver, seed=5)
    drawn.append(solver.drawn)
    assert len(torch.cat(drawn)[:, 0, 0, 0].unique()) == 9


def test_an_operator_without_a_first_guess_of_the_image_is_refused():
    with pytest.raises(IncompatibleError, match=r"Lost.embed maps a measurement \(1, 4, 6\) .* image is \(1, 8, 12\)"):
        restore(noise(2, 1, 4, 6), Lost(), Anything(), solver=Stretch())


def test_restoring_with_the_prior_comes_nearer_to_the_truth():
    prior = GaussianRestorer()
    truth = generate(prior, 200, seed=3)
    y = truth + 0.2 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    x = restore(y, "gaussian-noise:noise=0.2", prior).x
    assert float((x - truth).square().mean()) < 0.75 * float((y - truth).square().mean())


def test_one_evaluation_at_the_noise_of_a_level_is_the_wiener_filter():
    """`x = (s^2 y + n^2 m) / (s^2 + n^2)` for data N(m, s^2) and noise n, all on [0, 1]."""
    prior = GaussianRestorer(mean=0.2, std=0.3, sample=False)
    n, m, s = prior.level_std(1), 0.6, 0.15
    y = noise(2, 1, 4, 6)
    x = restore(y, Identity(noise=n), prior, solver="one-shot").x
    torch.testing.assert_close(x, (s**2 * y + n**2 * m) / (s**2 + n**2))


def test_the_cascade_draws_from_the_law_of_the_data():
    """With exact posterior draws at every level the answers are exactly N(mean, std^2), white."""
    prior = GaussianRestorer(mean=0.1, std=0.2)
    x = 2 * generate(prior, 5000, seed=0) - 1  # in the range of the process, whose bounds are 4.5 std away
    assert prior.calls[0][0] == 4
    values = (x - 0.1) / 0.2
    n = values.numel()
    assert abs(float(values.mean())) < 4.5 / n**0.5
    assert abs(float(values.var()) - 1) < 4.5 * (2 / n) ** 0.5
    assert abs(float(values.pow(3).mean())) < 4.5 * (15 / n) ** 0.5
    assert abs(float((values[..., 1:] * values[..., :-1]).mean())) < 4.5 / (values[..., 1:].numel()) ** 0.5
    assert abs(float((values[1:] * values[:-1]).mean())) < 4.5 / (values[1:].numel()) ** 0.5


def test_batches_change_nothing():
    prior = GaussianRestorer()
    whole = generate(prior, 7, seed=5)
    for batch in (1, 3, 7, 100):
        torch.testing.assert_close(generate(prior, 7, seed=5, batch=batch), whole, rtol=0, atol=1e-6)
    torch.testing.assert_close(generate(prior, 4, seed=5), whole[:4], rtol=0, atol=1e-6)
    parts = list(generate_batches(prior, 5, seed=5, batch=2, start=2))
    assert [len(part) for part in parts] == [2, 2, 1]
    torch.testing.assert_close(torch.cat(parts), whole[2:], rtol=0, atol=1e-6)
    assert len(whole.unique(dim=0)) == 7


def test_generated_images_are_clamped_and_points_are_not():
    wide = generate(GaussianRestorer(std=3.0), 50)
    assert (float(wide.min()), float(wide.max())) == (0, 1)
    points = generate(GaussianRestorer((2,), std=3.0), 50)
    assert points.shape == (50, 2)
    assert float(points.abs().max()) > 1
    assert generate(GaussianRestorer(), 0).shape == (0, 1, 4, 6)


def test_steps_are_counted_over_all_batches():
    seen = []
    generate(GaussianRestorer(), 5, batch=2, callback=lambda step, steps, x: seen.append((step, steps, len(x))))
    steps = seen[0][1]
    assert [step for step, _, _ in seen] == list(range(seen[0][0], seen[0][0] + steps))
    assert {total for _, total, _ in seen} == {steps}
    assert seen[-1][2] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": -1},
        {"n": 1, "batch": 0},
        {"n": 1, "shape": (1, 0, 4)},
        {"n": 1, "shape": ()},
        {"n": 1, "shape": (1, 4.5, 6)},
        {"n": 1.5},
        {"n": 1, "batch": "2"},
        {"n": 1, "start": 0.5},
    ],
)
def test_wrong_numbers_are_refused_at_once(wrong):
    with pytest.raises(ConfigError):
        generate_batches(GaussianRestorer(), **wrong)


def test_what_cannot_generate_says_so():
    with pytest.raises(IncompatibleError, match="the prior Anything generates no images"):
        generate(Anything(), 1, shape=(1, 4, 4))
    with pytest.raises(IncompatibleError, match="cannot generate"):
        generate(GaussianRestorer(), 1, solver="one-shot")
    with pytest.raises(ConfigError, match=r"n is 1\.5: give a whole number"):
        generate(GaussianRestorer(), 1.5)
    images = torch.rand(1, 1, 4, 6)
    with pytest.raises(IncompatibleError, match="solver Langevin generates from noise alone: leave out images"):
        generate(GaussianRestorer(), 1, solver="langevin", images=images)
    for wrong in ((images * 255).byte(), images.numpy(), images * torch.nan):
        with pytest.raises(DataError, match=r"images (is a|holds 24 of 24 values that are NaN)"):
            generate(GaussianRestorer(), 1, solver="cascade:start=1", images=wrong)
    unknown = GaussianRestorer()
    unknown.image_shape = None
    with pytest.raises(ConfigError, match="shape="):
        generate(unknown, 1)


def test_the_prior_keeps_its_mode_and_has_no_gradient():
    prior = Trainable()
    expected = generate(prior.eval(), 2)
    prior.train()
    prior.dropout.eval()
    modes = [part.training for part in prior.modules()]
    answer = generate(prior, 2)
    assert torch.equal(answer, expected)
    assert not answer.requires_grad
    assert not restore(noise(1, 4, 6).requires_grad_(), Identity(noise=0.1), prior).x.requires_grad
    with pytest.raises(RuntimeError, match="stop"):
        generate(prior, 2, callback=lambda *_: (_ for _ in ()).throw(RuntimeError("stop")))
    assert [part.training for part in prior.modules()] == modes


def test_a_degradation_follows_the_prior_to_its_device_as_a_copy():
    degradation = Identity()
    degradation.register_buffer("weights", torch.ones(2))
    assert to_device(degradation, torch.device("cpu")) is degradation
    other = to_device(degradation, torch.device("meta"))
    assert (other.weights.device.type, degradation.weights.device.type) == ("meta", "cpu")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_in_a_terminal_where_nobody_else_follows(monkeypatch):
    monkeypatch.setattr(rgmkit.runtime.progress, "DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    y = torch.rand(1, 8, 9, generator=seeded(0))
    for options in ({"progress": False}, {"callback": lambda *step: None}):
        restore(y, "gaussian-noise:noise=0.1", "tv", **options)
        assert sys.stderr.getvalue() == ""
    restore(y, "gaussian-noise:noise=0.1", "tv")
    assert "restoring" in sys.stderr.getvalue()
    generate("digits", 1)
    assert "generating" in sys.stderr.getvalue()
