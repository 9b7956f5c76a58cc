"""Objectives beyond the published one: their distances against brute force in float64, and training on toys."""

from __future__ import annotations

import itertools
import math

import pytest
import rgmkit_gan.objectives
import torch
from rgmkit_gan.objectives import UOTM
from rgmkit_objectives.dswd import DSWD, mean_cosine, sliced_distance
from rgmkit_objectives.levels import compare_levels
from rgmkit_objectives.mmd import MMD, measure_mmd
from rgmkit_objectives.mmse import MMSE
from torch.nn.functional import normalize, softplus

import rgmkit
from rgmkit.core.objective import Objective, Pair, no_critic
from rgmkit.core.random import seeded
from rgmkit.errors import CheckpointError, ConfigError
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.checkpoint import fingerprint, restore_run
from rgmkit.training.configuration import read_configuration
from rgmkit.training.draws import draw_batch
from rgmkit.training.setup import set_up
from rgmkit.training.step import train_step

BANDWIDTHS = (0.1, 1.0)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def make_pair(real: torch.Tensor, fake: torch.Tensor, level: torch.Tensor | None = None, **options) -> Pair:
    ones = torch.ones(len(real), dtype=real.dtype)
    return Pair(
        real, fake, torch.zeros(len(real), dtype=torch.int64) if level is None else level, ones, ones, **options
    )


def mmd_by_hand(x: torch.Tensor, y: torch.Tensor) -> float:
    points = [*x, *y]
    apart = sorted(float((a - b).square().sum()) for a, b in itertools.permutations(points, 2))
    median = apart[(len(apart) - 1) // 2]

    def k(a, b):
        return sum(math.exp(-float((a - b).square().sum()) / (2 * factor * median)) for factor in BANDWIDTHS)

    def mean(left, right):
        return sum(k(a, b) for a in left for b in right) / (len(left) * len(right))

    return math.sqrt(mean(x, x) + mean(y, y) - 2 * mean(x, y))


def test_mmd_is_that_of_the_sums_over_all_pairs():
    x, y = draw(4, 3), draw(4, 3, seed=1) + 1
    assert float(measure_mmd(x, y, BANDWIDTHS)) == pytest.approx(mmd_by_hand(x, y), rel=1e-9)


def test_mmd_of_learned_features_and_its_penalty():
    """phi(x) = 2 x: the MMD is that of x, since bandwidths follow the median; |d phi / dx|^2 = 4 d."""

    class Doubling:
        def features(self, x, level):
            return 2 * x

    x, y = draw(6, 3), draw(6, 3, seed=1) + 1
    objective = MMD(features="learned", bandwidths=BANDWIDTHS, gamma=0.5, interval=2)
    assert objective.needs_critic and not objective.compares_images
    pair = make_pair(x, y, seed=3)
    expected = mmd_by_hand(x, y)
    assert float(objective.restorer_loss(Doubling(), pair)) == pytest.approx(expected, rel=1e-9)
    assert float(objective.critic_loss(Doubling(), pair, step=1)) == pytest.approx(-expected, rel=1e-9)
    median = float(torch.pdist(2 * x).square().sort().values[7])
    penalties = []
    for seed in range(400):  # an unbiased estimate
        penalties.append(float(objective.critic_loss(Doubling(), make_pair(x, y, seed=seed), step=2)) + expected)
    assert sum(penalties) / 400 == pytest.approx(2 * 0.5 / 2 * 4 * 3 / median, rel=0.05)


def test_sliced_distance_is_the_cheapest_assignment_on_each_line():
    x, y, theta = draw(4, 3), draw(4, 3, seed=1), normalize(draw(5, 3, seed=2))
    costs = []
    for direction in theta:
        a, b = x @ direction, y @ direction
        costs.append(min(float((a - b[list(order)]).square().mean()) for order in itertools.permutations(range(4))))
    assert float(sliced_distance(x, y, theta)) == pytest.approx(math.sqrt(sum(costs) / 5), rel=1e-9)


def test_learned_directions_tell_the_sets_apart_and_differ():
    """The sets differ along the first axis only."""
    x = draw(64, 6)
    y = x + 3 * torch.eye(6, dtype=x.dtype)[0]
    e = draw(32, 6, seed=1)
    before, after, spread = (
        normalize(e),
        DSWD(ascent=20, penalty=0.0)._learn_directions(x, y, e),
        DSWD(ascent=20, penalty=10.0)._learn_directions(x, y, e),
    )
    torch.testing.assert_close(after.norm(dim=1), torch.ones(32, dtype=x.dtype))
    assert sliced_distance(x, y, after) > 1.5 * sliced_distance(x, y, before)
    assert mean_cosine(spread) < mean_cosine(before) < mean_cosine(after)
    torch.testing.assert_close(DSWD(ascent=0)._learn_directions(x, y, e), before)


def test_levels_are_compared_one_by_one_and_by_their_share():
    real, fake, level = draw(6, 2), draw(6, 2, seed=1), torch.tensor([0, 2, 2, 0, 2, 2])
    parts = [level == 0, level == 2]
    expected = sum(measure_mmd(real[p], fake[p], BANDWIDTHS) * p.sum() / 6 for p in parts)
    found = MMD(bandwidths=BANDWIDTHS).restorer_loss(no_critic, make_pair(real, fake, level))
    torch.testing.assert_close(found, expected)


def test_distances_are_not_computed_in_bfloat16():
    x, y = draw(8, 3).float(), draw(8, 3, seed=1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = compare_levels(lambda a, b: measure_mmd(a, b, BANDWIDTHS), x, y, torch.zeros(8))
    torch.testing.assert_close(found, measure_mmd(x, y, BANDWIDTHS))


def test_the_critic_of_uotm_knows_the_cost():
    real, fake, cost = draw(5, 2), draw(5, 2, seed=1), draw(5, seed=2).square()

    def critic(x, level):
        return 3 * x[:, 0]

    expected = (softplus(3 * fake[:, 0] - cost) + softplus(-3 * real[:, 0])).mean()
    pair = make_pair(real, fake, fidelity=cost)
    torch.testing.assert_close(UOTM(gamma=2.0, interval=2).critic_loss(critic, pair, step=1), expected)
    r1 = UOTM(gamma=2.0, interval=2).critic_loss(critic, pair, step=2) - expected
    assert float(r1) == pytest.approx(9.0)
    torch.testing.assert_close(UOTM().restorer_loss(critic, pair), -3 * fake[:, 0].mean())


CRITIC = {"use": "mlp-discriminator", "width": 32}
OBJECTIVES = {"mmd": None, "mmd:features=learned": CRITIC, "dswd": None, "uotm:gamma=0.1,interval=4": CRITIC}


def make_run(objective, critic, **training):
    config = {
        "data": "gmm", "process": "gaussian:schedule=geometric,levels=2,r_first=0.5",
        "network": {"use": "mlp", "width": 32}, "critic": critic, "objective": objective,
        "training": {"steps": 150, "batch": 128, "lr": 5e-3, "ema": 0.9, "threads": 1, **training},
    }  # fmt: skip
    return set_up(read_configuration(config), ProcessGroup(torch.device("cpu")))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_training_brings_samples_closer_to_the_data(objective):
    run = make_run(objective, OBJECTIVES[objective])
    data = (run.data.examples(500, seed=1) - run.data.center) / run.data.scale

    def distance():
        samples = (rgmkit.generate(run.prior(), 500, seed=2) - run.data.center) / run.data.scale
        return float(measure_mmd(samples.double(), data.double(), BANDWIDTHS))

    before = distance()
    for run.step in range(60 if objective.startswith(("mmd", "dswd")) else 150):
        train_step(run, draw_batch(run, run.step))
    assert distance() < 0.7 * before


def test_an_objective_gets_the_cost_of_each_estimate_and_a_seed_of_each_step():
    pairs = []

    class Spy(Objective):
        def critic_loss(self, critic, pair, *, step):
            pairs.append(pair)
            return critic(pair.fake, pair.level).mean()

        def restorer_loss(self, critic, pair):
            pairs.append(pair)
            return pair.fake.mean()

    run = make_run("kl", CRITIC, fidelity=0.5)
    run.objective = Spy()
    losses = [train_step(run, draw_batch(run, step)) for step in (0, 1)]
    assert [pair.fidelity.requires_grad for pair in pairs[:2]] == [False, True] and not pairs[0].fake.requires_grad
    for pair, loss in zip(pairs[1::2], losses, strict=True):
        assert pair.fidelity.shape == (128,)
        torch.testing.assert_close(pair.fidelity.mean(), 0.5 * 2 * loss["fidelity"])
    assert pairs[0].seed == pairs[1].seed != pairs[2].seed


@pytest.mark.parametrize("objective", ["mmd", "mmd:features=learned", "dswd", "uotm"])
def test_digits_are_trained_by_name(objective, tmp_path):
    config = {
        "data": "digits", "network": {"use": "unet", "width": 8, "blocks": 1}, "objective": objective,
        "training": {"steps": 2, "batch": 16, "threads": 1, "precision": "bf16", "preview_every": 0},
    }  # fmt: skip
    if objective in ("mmd:features=learned", "uotm"):
        config["critic"] = {"use": "unet-discriminator", "width": 8}
    run = set_up(read_configuration(config), ProcessGroup(torch.device("cpu")))
    before = [weight.clone() for weight in run.network.parameters()]
    losses = train_step(run, draw_batch(run, 0))
    assert all(loss.isfinite() for loss in losses.values())
    assert all(not w.equal(b) for w, b in zip(run.network.parameters(), before, strict=True))


@pytest.mark.parametrize("objective", ["dswd", "mmd:features=learned"])
def test_random_numbers_of_an_objective_depend_on_the_step_alone(objective):
    first, second = (make_run(objective, OBJECTIVES[objective], steps=4) for _ in range(2))
    torch.manual_seed(5)
    losses = [train_step(run, draw_batch(run, 3)) for run in (first, second)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "spec, message",
    [
        ("mmd:bandwidths=[]", r"bandwidths is \[\]"),
        ("mmd:bandwidths=[1,-1]", "bandwidths"),
        ("mmd:features=some", "features"),
        ("dswd:directions=0", "directions"),
        ("dswd:ascent=-1", "ascent"),
        ("dswd:rate=0", "rate"),
    ],
)
def test_options_out_of_range_are_refused(spec, message):
    with pytest.raises(ConfigError, match=message) as error:
        make_run(spec, None)
    assert "\n" not in str(error.value)


def test_a_critic_without_features_is_refused_before_anything_is_written(tmp_path):
    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, x, level):
            return self.layer(x)[:, 0]

    config = {"data": "gmm", "network": "mlp", "critic": Plain(), "objective": "mmd:features=learned"}
    with pytest.raises(ConfigError, match=r"Plain has no method features.*features: fixed"):
        rgmkit.train(config, out=tmp_path / "model", progress=False)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("shape, weight", [((3, 32, 32), 1e-3), ((3, 256, 256), 5e-5), ((1, 16, 16), 5.989e-3)])
def test_the_default_weight_of_the_fidelity_follows_the_number_of_values(shape, weight):
    run = make_run("kl", CRITIC)
    assert run.fidelity_weight == 1e-3  # points
    run.data.shape = shape
    assert run.fidelity_weight == pytest.approx(weight, rel=1e-3)
    run.objective = MMSE()
    assert run.fidelity_weight == 0


def test_a_run_of_version_0_1_resumes_with_the_fidelity_that_it_had(tmp_path):
    """Its checkpoints do not name the fidelity, which was 1e-3 by default."""
    config = {"data": "digits", "network": "unet:width=8", "training": {"steps": 2, "batch": 4, "preview_every": 0}}
    run = set_up(read_configuration(config), ProcessGroup(torch.device("cpu")))
    old = {**run.config, "training": {k: v for k, v in run.config["training"].items() if k != "fidelity"}}
    state = {"step": 0, "seconds": 0.0, "config": fingerprint(old), "data": run.data.count}
    state |= {name: part.state_dict() for name, part in run.stateful_parts().items()}
    with pytest.raises(CheckpointError, match=r"training.fidelity was not given and is 0.005989"):
        restore_run(run, state, tmp_path)
    same = {**config, "training": {**config["training"], "fidelity": 1e-3}}
    restore_run(set_up(read_configuration(same), ProcessGroup(torch.device("cpu"))), state, tmp_path)


def test_mmse_is_found_where_it_was():
    with pytest.warns(DeprecationWarning, match=r"rgmkit_gan.objectives.MMSE is deprecated: use rgmkit_objectives"):
        assert rgmkit_gan.objectives.MMSE is MMSE
