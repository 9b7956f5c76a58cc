"""Training steps against the equations, written out in float64: losses, updates, averaged weights, target levels."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import softplus

import rgmkit
from rgmkit.core.random import seeded
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.configuration import read_configuration
from rgmkit.training.draws import draw_batch, draw_target_levels
from rgmkit.training.settings import TrainingSettings
from rgmkit.training.setup import set_up
from rgmkit.training.step import estimate_images, train_step

STEPS, BATCH = 4, 12
ADVERSARIAL = {"use": "relativistic", "gamma": 0.5, "interval": 2, "floor": 0.1}
OPTIONS = {
    "steps": 10, "batch": BATCH, "lr": 0.02, "critic_lr": 0.05, "betas": (0.5, 0.9), "ema": 0.3, "spread": 0.5,
    "fidelity": 0.03, "lr_end": 0.01, "preview_every": 0, "checkpoint_every": 1, "keep": 20,
}  # fmt: skip


def spread_out(image, *values):
    """Stack an image with maps of constant values, one for each image of the batch."""
    return torch.cat([image, *(v.reshape(-1, 1, 1, 1).to(image).expand_as(image) for v in values)], 1)


class Restorer(torch.nn.Module):
    latent = 1

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, y, t, z):
        return self.layer(spread_out(y, t, z[:, 0]))


class Critic(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(2, 1, 3, stride=4)

    def forward(self, x, t):
        return self.layer(spread_out(x, t)).tanh().flatten(1).sum(1)


def make_run(objective=ADVERSARIAL, **changes):
    training = {**OPTIONS, **changes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, critic = Restorer(), Critic() if objective != "mmse" else None
    config = {"data": "digits", "network": network, "critic": critic, "objective": objective, "training": training}
    return set_up(read_configuration(config), ProcessGroup(torch.device("cpu")))


class Reference:
    """The steps of a run, in float64, from the equations in `train_step` and in the docstrings of the objectives."""

    def __init__(self, run):
        self.process, self.adversarial = run.process, run.critic is not None
        self.G, self.D = copy.deepcopy(run.network).double(), copy.deepcopy(run.critic)
        self.optimizers = [torch.optim.Adam(self.G.parameters(), lr=1.0, betas=OPTIONS["betas"])]
        if self.adversarial:
            self.D = self.D.double()
            self.optimizers.append(torch.optim.Adam(self.D.parameters(), lr=1.0, betas=OPTIONS["betas"]))
        self.average = [weight.detach().clone() for weight in self.G.parameters()]

    def degrade(self, x, level, noise):
        a, sigma = (v[level].double().reshape(-1, 1, 1, 1) for v in self._coefficients())
        return a * x + sigma * noise.double()

    def _coefficients(self):
        return self.process.a_by_level, self.process.sigma_by_level

    def update(self, loss, which, step):
        parameters, optimizer = list((self.G, self.D)[which].parameters()), self.optimizers[which]
        lr, end = (OPTIONS["lr"], OPTIONS["critic_lr"])[which], OPTIONS["lr_end"]
        optimizer.param_groups[0]["lr"] = end + (lr - end) * (1 + math.cos(math.pi * step / OPTIONS["steps"])) / 2
        for weight, grad in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            weight.grad = grad
        optimizer.step()

    def step(self, batch, step):
        x, s, t, z = 2 * batch.x.double() - 1, batch.level, batch.target, batch.z.double()
        y, real = self.degrade(x, s, batch.noise), self.degrade(x, t, batch.real)
        sigma_s, sigma_t = (self.process.sigma_by_level[level].double() for level in (s, t))
        losses = {}
        if self.adversarial:
            fake = self.degrade(self.G(y, s - 1, z), t, batch.fake).detach()
            loss = softplus(self.D(fake, s - 1) - self.D(real, s - 1)).mean()
            if step % 2 == 0:
                for images in (real.clone().requires_grad_(), fake.requires_grad_()):
                    (slope,) = torch.autograd.grad(self.D(images, s - 1).sum(), images, create_graph=True)
                    loss = loss + 0.5 * 2 * ((0.1 + sigma_t**2) * slope.square().sum((1, 2, 3))).mean() / 2
            losses["critic"] = loss.item()
            self.update(loss, 1, step)
        x_hat = self.G(y, s - 1, z)
        if self.adversarial:
            judged = self.degrade(x_hat, t, batch.fake)
            prior = softplus(self.D(real, s - 1) - self.D(judged, s - 1)).mean()
        else:
            prior = ((x_hat - x).square().mean((1, 2, 3)) / sigma_s**2).mean()
        a = self.process.a_by_level[s].double().reshape(-1, 1, 1, 1)
        fidelity = ((y - a * x_hat).square().sum((1, 2, 3)) / (2 * sigma_s**2)).mean()
        losses |= {"prior": prior.item(), "fidelity": fidelity.item() / x[0].numel()}
        self.update(prior + OPTIONS["fidelity"] * fidelity, 0, step)
        n = step + 1
        decay = min(OPTIONS["ema"], (1 + n) / (10 + n))
        with torch.no_grad():
            self.average = [decay * m + (1 - decay) * w for m, w in zip(self.average, self.G.parameters(), strict=True)]
        return losses


def assert_same(weights, expected):
    for weight, value in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.double(), value.double(), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("objective", [ADVERSARIAL, "mmse"], ids=["relativistic", "mmse"])
def test_steps_follow_the_equations(objective, parts):
    run = make_run(objective, accumulate=parts)
    reference = Reference(run)
    for step in range(STEPS):
        batch = draw_batch(run, step)
        expected, losses = reference.step(batch, step), train_step(run, batch)
        run.step += 1
        assert {name: float(loss) for name, loss in losses.items()} == pytest.approx(expected, rel=1e-4)
    assert_same(run.network.parameters(), reference.G.parameters())
    assert_same(run.average.module.parameters(), reference.average)
    if run.critic is not None:
        assert_same(run.critic.parameters(), reference.D.parameters())


def test_the_model_has_the_averaged_weights(tmp_path):
    """They are computed again from the weights in the checkpoints."""
    config = {"data": "gmm", "network": "mlp", "objective": "mmse", "training": {**OPTIONS, "steps": 6}}
    out = rgmkit.train(config, out=tmp_path / "model", progress=False)
    first, *states = (torch.load(path)["network"] for path in sorted((out / "checkpoints").glob("step-*.pt")))
    expected = first
    for n, state in enumerate(states, 1):
        decay = min(0.3, (1 + n) / (10 + n))
        expected = {name: decay * expected[name] + (1 - decay) * weight for name, weight in state.items()}
    saved = load_file(out / "model.safetensors")
    assert len(states) == 6 and saved.keys() == expected.keys()
    assert_same(saved.values(), [expected[name] for name in saved])


def test_spread_draws_lower_targets_until_the_final_steps():
    run = make_run(batch=4000, spread=1.0, final_steps=3)
    drawn = draw_batch(run, 6)
    for level in range(1, 5):
        share = torch.bincount(drawn.target[drawn.level == level], minlength=5) / 1000
        assert share.tolist() == pytest.approx([1 / level] * level + [0] * (5 - level), abs=0.05)
    final = draw_batch(run, 7)
    assert torch.equal(final.target, final.level - 1)
    target = torch.full((4000,), 3)
    assert float((draw_target_levels(target, 0, 0.2, seeded(0)) < 3).double().mean()) == pytest.approx(0.15, abs=0.02)


def test_clean_estimates_are_judged_as_they_are():
    """Whole batches, and a part of the images; the critic is told the level that each was made from."""
    run = make_run(batch=4000, clean=1.0, spread=0.0)
    batch = draw_batch(run, 0)
    assert batch.target.count_nonzero() == 0 and set(batch.level.tolist()) == {1, 2, 3, 4}
    pair = estimate_images(run, batch).pair
    torch.testing.assert_close(pair.real, batch.x)
    assert torch.equal(pair.level, batch.level - 1)
    target = torch.full((4000,), 3)
    some = draw_target_levels(target, 0.25, 0, seeded(0))
    assert set(some.tolist()) == {0, 3} and float((some == 0).double().mean()) == pytest.approx(0.25, abs=0.03)


def test_a_conditional_critic_sees_y_and_what_is_drawn_given_it(tmp_path):
    """The coefficients of denoising diffusion GANs for T = 4."""
    config = {
        "data": "digits", "process": {"use": "gaussian", "schedule": "vp"}, "objective": ADVERSARIAL,
        "network": {"use": "unet", "width": 4, "blocks": 1},
        "training": {**OPTIONS, "steps": 1, "spread": 0.0, "conditional": True, "keep": 1},
    }  # fmt: skip
    run = set_up(read_configuration(config), ProcessGroup(torch.device("cpu")))
    batch = draw_batch(run, 0)
    x, t = 2 * batch.x - 1, batch.target
    y = run.process.degrade(x, batch.level, standard_normal=batch.noise)
    pair = estimate_images(run, replace(batch, x=x)).pair
    table = torch.tensor([(1, 0.665778, 0.269191, 0.057822), (0, 0.201576, 0.193001, 0.111852),
                          (0, 0.440819, 0.884202, 0.984061)])  # fmt: skip
    of_x, of_y, variance = table[:, t, None, None, None]
    x_hat = run.network(y, t, batch.z)
    for judged, image, noise in ((pair.real, x, batch.real), (pair.fake, x_hat, batch.fake)):
        expected = of_x * image + of_y * y + variance.sqrt() * noise
        torch.testing.assert_close(judged, torch.cat([expected, y], 1), atol=1e-5, rtol=0)
    lowest = estimate_images(run, replace(batch, x=x, target=torch.zeros_like(t))).pair  # as with `spread`
    torch.testing.assert_close(lowest.real, torch.cat([x, y], 1), atol=1e-5, rtol=0)
    prior = rgmkit.load(rgmkit.train(config, out=tmp_path))
    assert rgmkit.generate(prior, 2, solver="cascade:eta=1").shape == (2, 1, 16, 16)
    for change, message in ({"objective": "mmse"}, "no critic"), ({"process": "multiscale"}, "does not know"):
        with pytest.raises(rgmkit.errors.RgmkitError, match=message):
            rgmkit.train({**config, **change}, out=tmp_path / "no")


def test_diversity_rewards_estimates_that_vary_with_z():
    """Its value against the formula for a linear restorer, its limit, and its effect on a step."""
    run = make_run(diversity=1.0, diversity_limit=1e6)
    batch = draw_batch(run, 0)
    found = estimate_images(run, batch).diversity
    effect = run.network.layer(spread_out(batch.x[:1], torch.zeros(1), torch.ones(1)))
    effect = effect - run.network.layer(spread_out(batch.x[:1], torch.zeros(1), torch.zeros(1)))
    std = effect.square().mean().sqrt()  # over z, of a linear restorer
    torch.testing.assert_close(found, torch.where(batch.level > 1, std, 0.0), rtol=1e-4, atol=1e-6)
    assert 0 < int((batch.level > 1).sum()) < BATCH
    limited = estimate_images(make_run(diversity=1.0, diversity_limit=1e-3), batch).diversity
    expected = torch.where(batch.level > 1, 1e-3 * run.process.sigma(batch.level), 0.0)
    torch.testing.assert_close(limited, expected)

    spreads = []
    for weight in (0.0, 100.0):
        run = make_run(diversity=weight, diversity_limit=1e6)
        train_step(run, draw_batch(run, 0))
        weights = run.network.layer.weight[:, 2]  # of z
        spreads.append(float(weights.detach().sum().abs()))
    assert spreads[1] > spreads[0]
    config = {"data": "digits", "network": "unet:latent=0,width=4", "training": {"steps": 1, "diversity": 1}}
    with pytest.raises(rgmkit.errors.ConfigError, match="has no z"):
        set_up(read_configuration(config), ProcessGroup(torch.device("cpu")))


def test_regression_draws_estimates_to_their_images_at_low_noise():
    """Its value against the formula, and its effect on steps: smaller errors."""

    def expect(run, batch):
        y = run.process.degrade(batch.x, batch.level, standard_normal=batch.noise)
        x_hat, e = run.network(y, batch.level - 1, batch.z), run.process.sigma(batch.level)
        return (1 - e**2) ** 2 / e**2 * (x_hat - batch.x).flatten(1).square().mean(1)

    errors = []
    for weight in (0.0, 100.0):
        run = make_run(regression=weight, fidelity=0.0)
        batch = draw_batch(run, 0)
        found = estimate_images(run, batch).regression
        torch.testing.assert_close(found, expect(run, batch) if weight else torch.zeros(BATCH))
        for step in range(10):
            train_step(run, draw_batch(run, step))
        errors.append(float(expect(run, batch).detach().mean()))
    assert errors[1] < 0.9 * errors[0]


def test_a_process_of_one_level_is_a_plain_gan(tmp_path):
    """One evaluation makes an image from noise, which the critic compares with the data themselves."""
    config = {
        "data": "digits", "process": {"use": "gaussian", "levels": 1}, "objective": "kl",
        "network": {"use": "unet", "width": 4, "blocks": 1}, "training": {**OPTIONS, "steps": 2, "keep": 1},
    }  # fmt: skip
    run = set_up(read_configuration(config), ProcessGroup(torch.device("cpu")))
    batch = draw_batch(run, 0)
    assert batch.level.eq(1).all() and estimate_images(run, batch).pair.real.equal(batch.x)
    prior = rgmkit.load(rgmkit.train(config, out=tmp_path))
    calls = []
    x = rgmkit.generate(prior, 3, callback=lambda step, steps, x: calls.append((step, steps)))
    assert x.shape == (3, 1, 16, 16) and calls == [(1, 1)] and not x[0].equal(x[1])


def test_options_that_are_left_out_mean_the_same_for_ever():
    """A run is resumed, and a published configuration is read, with the options that it names and no others."""
    settings = TrainingSettings()
    assert (settings.betas, settings.ema, settings.spread, settings.lr_end) == ((0.0, 0.99), 0.999, 0.0, 0.0)
    assert settings.diversity_limit == 0.15
    assert make_run(fidelity=None).fidelity_weight == 5.989e-3 and make_run("mmse", fidelity=None).fidelity_weight == 0
