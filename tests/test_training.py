"""Training: resumed equals uninterrupted, model folders, a third party's degradation, and that it learns."""

from __future__ import annotations

import errno
import math
import shutil
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

import rgmkit
from rgmkit.config import build, dump_yaml, read_yaml
from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError, TrainingError
from rgmkit.models.model_card import read_card
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.configuration import read_configuration
from rgmkit.training.data.digits import Digits
from rgmkit.training.data.toys import GMM, Checkerboard, Gaussian25
from rgmkit.training.draws import draw_levels
from rgmkit.training.guards import stop_when_unwritable
from rgmkit.training.log import LossLog
from rgmkit.training.rehearsal import rehearse
from rgmkit.training.setup import set_up
from rgmkit.training.start import read_start_config

POINTS = {
    "data": "gmm",
    "process": {"use": "gaussian", "schedule": "geometric", "r_first": 0.1, "r_last": 1.2},
    "network": "mlp",
    "objective": {"use": "relativistic", "floor": 0.03},
    "training": {"steps": 8, "batch": 256, "lr": 5e-3, "ema": 0.99, "checkpoint_every": 3, "preview_every": 0},
}
MEANS = {**POINTS, "objective": "mmse"}
TINY = {"use": "unet", "width": 8, "blocks": 1}
CARD = {"data", "images seen", "parameters", "steps", "seed", "seconds", "machine", "rgmkit"}
IMAGES = {"data": "digits", "network": TINY, "training": {"steps": 2, "batch": 8, "preview_every": 2}}


def train(config, out, **options):
    return rgmkit.train(config, out=out, progress=False, **options)


def prepare(config):
    return set_up(read_configuration(config), ProcessGroup(torch.device("cpu")))


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("config", [POINTS, MEANS], ids=["relativistic", "mmse"])
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, config):
    whole = weights(train(config, tmp_path / "whole"))
    loop = "rgmkit.training.loop.train_step"
    step = rgmkit.training.loop.train_step

    def killed(run, batch):
        if run.step == 7:
            raise RuntimeError("killed")
        return step(run, batch)

    monkeypatch.setattr(loop, killed)
    with pytest.raises(RuntimeError, match="killed"):
        train(config, tmp_path / "parts")
    monkeypatch.setattr(loop, step)
    newest = tmp_path / "parts" / "checkpoints" / "step-00000006.pt"
    newest.write_bytes(newest.read_bytes()[:1000])  # cut while it was written: the one before it counts
    torch.rand(1)  # the global generator has moved on
    resumed = weights(train(config, tmp_path / "parts", resume=True))
    assert all(whole[name].equal(resumed[name]) for name in whole)


@pytest.mark.slow
def test_without_a_critic_the_answer_is_the_mean_of_the_posterior(tmp_path):
    """`E[x | y]` of eight Gaussians: their own posterior means, weighed by how well each explains `y`."""
    training = {"steps": 400, "batch": 256, "lr": 5e-3, "ema": 0.98, "accumulate": 2, "preview_every": 0, "threads": 1}
    prior = rgmkit.load(train({**MEANS, "training": training}, tmp_path / "means"))
    assert not (tmp_path / "means" / "config.yaml").read_text().count("critic")
    law, level = GMM(), torch.full((2000,), 3)
    means, std = law.means / law.scale, law.std / law.scale
    y = prior.degrade(law.draw(2000, seeded(1)), level, generator=seeded(2))
    a, sigma = prior.process.a_by_level[3], prior.process.sigma_by_level[3]
    variance = a**2 * std**2 + sigma**2
    share = (-torch.cdist(y, a * means).square() / (2 * variance)).softmax(1)
    mode = means + a * std**2 / variance * (y[:, None] - a * means)
    exact = law.scale * (share[..., None] * mode).sum(1)
    assert (prior.restore(y, level) - exact).norm() < 0.15 * exact.norm()  # a draw of the posterior: 0.7


def test_a_critic_where_none_is_needed(tmp_path):
    with pytest.raises(ConfigError, match="the objective needs none: leave it out, or set it to null"):
        train({**MEANS, "critic": "mlp-discriminator"}, tmp_path / "run")
    run = prepare(MEANS)
    assert run.critic is None and run.fidelity_weight == 0 and len(run.schedules) == 1


class Uncopied(torch.nn.Linear):
    def __deepcopy__(self, memo):
        raise RuntimeError("weights that are computed")  # as with torch.nn.utils.weight_norm


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objective": "mmse", "training": {"critic_first": 0.1}}, "critic_first is given, and the objective has no"),
        ({"prior": "regulariser"}, "prior is 'regulariser', which is no network prior that this objective trains"),
        (
            {"network": torch.nn.Linear(2, 2), "critic": torch.nn.Linear(2, 1).requires_grad_(False)},
            "critic has no weights that may change",
        ),
        (
            {
                "network": Uncopied(2, 2),
                "critic": torch.nn.Linear(2, 1).requires_grad_(False),
            },
            "cannot be copied",
        ),
    ],
)
def test_parts_that_cannot_train(change, words):
    with pytest.raises(ConfigError, match=words):
        prepare({**POINTS, **change})


def test_modules_of_the_user_stay_as_they_are(tmp_path):
    """So that a second run from the same objects starts from the same weights."""
    process = rgmkit.process("gaussian")
    given = {
        "network": build("network", "mlp", process=process, image_shape=(2,)),
        "critic": build("network", "mlp-discriminator", process=process, image_shape=(2,)),
    }
    before = {name: {key: w.clone() for key, w in part.state_dict().items()} for name, part in given.items()}
    first, second = (weights(train({**POINTS, **given}, tmp_path / name)) for name in ("first", "second"))
    assert all(first[name].equal(second[name]) for name in first)
    assert all(w.equal(before[name][key]) for name, part in given.items() for key, w in part.state_dict().items())


class Outputs(torch.nn.Linear):
    def forward(self, *given):
        return given


@pytest.mark.parametrize("part", ["network", "critic"])
def test_a_network_that_returns_no_tensor(tmp_path, part):
    config = {**POINTS, "network": torch.nn.Linear(2, 2), "critic": Outputs(2, 2), part: Outputs(2, 2)}
    if part == "critic":
        config["network"] = build("network", "mlp", process=rgmkit.process("gaussian"), image_shape=(2,))
    with pytest.raises(ConfigError, match=rf"{part}: .*\(it returns a tuple, not a tensor"):
        train(config, tmp_path / "run")


def test_the_learning_rate_ends_at_lr_end():
    final = {"lr_end": 1e-4, "final_steps": 3, "final_lr": 2e-4}
    run, rates = prepare({**POINTS, "training": {**POINTS["training"], **final}}), []
    for run.step in range(9):
        rates.append(run.optimizer.param_groups[0]["lr"])
        run.optimizer.step()
        run.schedules[0].step()
    assert rates[5] == pytest.approx(2e-4) and rates[8] == pytest.approx(1e-4)


def test_start_from_a_trained_model(tmp_path):
    first = train(POINTS, tmp_path / "first")
    brief = {"steps": 1, "batch": 4, "lr": 1e-9, "preview_every": 0}
    config = {"start": str(first), "data": "gmm", "network": None, "training": brief}
    second = train(config, tmp_path / "second")
    assert all(w.allclose(weights(second)[name], atol=1e-6) for name, w in weights(first).items())
    assert rgmkit.load(second).process.a_by_level.equal(rgmkit.load(first).process.a_by_level)
    assert read_start_config("first", tmp_path) == read_start_config(first, tmp_path / "second")
    with pytest.raises(ConfigError, match=r"weights are those of another network: .* leave out network"):
        train({**config, "network": {"use": "mlp", "width": 8}}, tmp_path / "third")
    with pytest.raises(ConfigError, match="start is 'none': give a model folder, or a shipped model"):
        train({**config, "start": "none"}, tmp_path / "third")
    with pytest.raises(ConfigError, match="call its requires_grad_"):
        train({**POINTS, "network": rgmkit.load(first).network, "critic": "mlp-discriminator"}, tmp_path / "third")


def test_start_from_a_model_with_other_levels(tmp_path):
    process = {"use": "gaussian", "levels": 4, "schedule": "geometric", "r_first": 0.1, "r_last": 1.6}
    first = train({**MEANS, "process": process}, tmp_path / "first")
    weak, middle, strong, last = weights(first)["body.level.weight"]  # at sigma/a = .1, .4, 1.6, 150

    def start(**options):
        config = {**MEANS, "start": str(first), "process": {**process, **options}}
        return prepare(config).network.state_dict()["body.level.weight"]

    share = math.log(6.4 / 1.6) / math.log(150 / 1.6)
    expected = torch.stack([weak, middle, strong, strong.lerp(last, share), last])
    assert start(levels=5, r_last=6.4).allclose(expected, atol=1e-5)
    assert start(levels=3, r_last=0.4).allclose(torch.stack([weak, middle, last]), atol=1e-5)
    assert start(levels=2, r_first=0.01).allclose(torch.stack([weak, last]), atol=1e-5)  # less noise than it knows
    config = read_yaml(first / "config.yaml")
    del config["process"]  # which says what the levels are
    (first / "config.yaml").write_text(dump_yaml(config))
    assert start().equal(torch.stack([weak, middle, strong, last]))


def test_weights_that_are_held_fixed_stay(tmp_path):
    prior = rgmkit.load(train({**POINTS, "training": {"steps": 1, "batch": 4, "preview_every": 0}}, tmp_path / "first"))
    network = prior.network.requires_grad_(True)
    held, *others = network.parameters()
    held.requires_grad_(False)
    config = {**POINTS, "network": network, "critic": "mlp-discriminator"}
    before = [weight.clone() for weight in (held, others[-1])]
    found = train({**config, "training": {**POINTS["training"], "accumulate": 2}}, tmp_path / "second")
    after = list(weights(found).values())
    assert any(w.equal(before[0]) for w in after) and not any(w.equal(before[1]) for w in after)


def test_folders_are_not_overwritten_and_configurations_not_mixed(tmp_path):
    out = train(POINTS, tmp_path / "run")
    with pytest.raises(rgmkit.ConfigError, match="not empty"):
        train(POINTS, out)
    with pytest.raises(rgmkit.CheckpointError, match="run was trained with another configuration"):
        train(POINTS, out, resume=True, overrides=["training.lr=1e-4"])
    (tmp_path / "other" / "checkpoints").mkdir(parents=True)
    (tmp_path / "other" / "checkpoints" / "last.ckpt").write_text("of another tool")
    with pytest.raises(rgmkit.CheckpointError, match="has no checkpoint to resume, and is not empty"):
        train(POINTS, tmp_path / "other", resume=True)


@pytest.mark.slow
def test_learns_the_circle(tmp_path):
    prior = rgmkit.load(train(POINTS, tmp_path / "gmm", overrides=["training.steps=250", "training.threads=1"]))
    score = GMM().score(rgmkit.generate(prior, 2000, seed=1))
    assert score["modes"] == 8 and score["inside"] > 0.7


def test_what_cannot_be_written_names_the_last_checkpoint(tmp_path):
    run, error = SimpleNamespace(step=5), OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))
    none, last = (
        "stopped at step 5, there is no checkpoint yet",
        r"checkpoint is .*step-00000004\.pt: continue with --re",
    )
    with pytest.raises(TrainingError, match=none), stop_when_unwritable(run, tmp_path):
        raise error
    (tmp_path / "checkpoints").mkdir()
    for step in (3, 4):
        (tmp_path / "checkpoints" / f"step-0000000{step}.pt").touch()
    with pytest.raises(TrainingError, match=last), stop_when_unwritable(run, tmp_path):
        raise error


def test_an_objective_that_fails_is_named_at_the_start():
    run = prepare(MEANS)
    run.objective = SimpleNamespace(restorer_loss=lambda critic, pair: 1 / 0)
    with pytest.raises(ConfigError, match=r"objective: it does not take data of shape \(2,\) \(.*division by zero"):
        rehearse(run)


def test_losses_that_were_cut_or_are_of_later_steps_are_removed(tmp_path):
    run = prepare(MEANS)
    run.step = 4
    head, *rows = [
        "step,seconds,critic,prior,fidelity,lr,held_out_psnr",
        *(f"{step},1.5,,,0.5,0.001," for step in (2, 4, 6)),
    ]
    (tmp_path / "losses.csv").write_text("\n".join([head, *rows, "x,1.5,,,0.5,0.001,", "3,1.5"]))
    LossLog(run, tmp_path).close()
    assert (tmp_path / "losses.csv").read_text().splitlines() == [head, *rows[:2]]


def test_losses_go_to_tensorboard_if_it_is_installed(tmp_path, monkeypatch):
    written = []
    writer = SimpleNamespace(add_scalar=lambda *row: written.append(row), close=lambda: None)
    monkeypatch.setattr("rgmkit.training.log.find_spec", lambda name: name == "tensorboard")
    tensorboard = SimpleNamespace(
        SummaryWriter=lambda folder, purge_step: written.append((folder, purge_step)) or writer
    )
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", tensorboard)
    run = prepare(MEANS)
    run.step = 7
    log = LossLog(run, tmp_path)
    log.write({"fidelity": 0.5, "held_out_psnr": 20.0})
    log.close()
    assert written == [(tmp_path / "log", 8), ("loss/fidelity", 0.5, 7), ("held_out_psnr", 20.0, 7)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The model folder of a network for digits after two steps."""
    return train({**IMAGES, "data": {"use": "digits", "split": "train"}}, tmp_path_factory.mktemp("models") / "tiny")


def test_model_folder_round_trip(tiny):
    out = tiny
    assert (out / "samples" / "step-00000002.png").is_file()
    prior = rgmkit.load(out)
    digits = rgmkit.generate(prior, 3, seed=1)
    assert digits.shape == (3, 1, 16, 16) and digits.equal(rgmkit.generate(rgmkit.load(str(out)), 3, seed=1))
    facts = rgmkit.models.folder.describe(out)["facts"]
    assert set(facts) == {*CARD, "training images", "metrics"} and f"torch {torch.__version__}" in facts["machine"]
    assert facts["steps"] == 2 and facts["seed"] == 0 and "noise" in facts["metrics"]
    assert facts["data"] == "digits:split=train" and facts["training images"] == 1500 and facts["images seen"] == 16
    assert (
        facts["parameters"] == rgmkit.models.folder.describe(out)["parameters"]
        and facts["rgmkit"] == rgmkit.__version__
    )
    card = out / "README.md"
    card.write_text(card.read_text().replace("images seen: 16", "images: 16"))  # as of version 0.1
    assert rgmkit.models.folder.describe(out)["facts"]["images"] == 16


@pytest.mark.parametrize("damage", ["cut", "missing", "other network", "no config", "unknown network"])
def test_damaged_model_folders(tmp_path, tiny, damage):
    out = shutil.copytree(tiny, tmp_path / "tiny")
    file, config = out / "model.safetensors", out / "config.yaml"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "missing":
        file.unlink()
    elif damage == "other network":
        config.write_text(config.read_text().replace("width: 8", "width: 16"))
    elif damage == "no config":
        config.unlink()
    else:
        config.write_text(config.read_text().replace("use: unet", "use: os.system"))
    with pytest.raises(rgmkit.CheckpointError) as error:
        rgmkit.load(out)
    assert str(out) in str(error.value) and "\n" not in str(error.value)


def test_own_modules_in_python(tmp_path):
    class Restorer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, y, t, z):
            return self.layer(y)

    class Critic(Restorer):
        def forward(self, x, t):
            return self.layer(x)[:, 0]

    config = {**POINTS, "network": Restorer(), "critic": Critic()}
    out = train(config, tmp_path / "own")
    assert rgmkit.generate(rgmkit.load(out, network=Restorer()), 2).shape == (2, 2)
    with pytest.raises(rgmkit.CheckpointError, match="Restorer"):
        rgmkit.load(out)


def test_a_third_party_degradation_is_trained_on_by_name(tmp_path):
    (tmp_path / "ops.py").write_text(
        "import rgmkit\n"
        "class Mirror(rgmkit.Degradation):\n"
        "    def A(self, x):\n"
        "        return x.flip(-1)\n"
        "@rgmkit.hookimpl\n"
        "def rgmkit_components():\n"
        "    return [rgmkit.Component('degradation', 'mirror', Mirror, 'Left becomes right')]\n"
    )
    (tmp_path / "mirror.yaml").write_text(
        "plugins: [ops.py]\ndata: digits\nprocess: {use: severity, degradation: mirror}\n"
        "network: {use: unet, width: 8, blocks: 1}\ntraining: {steps: 2, batch: 8, preview_every: 0}\n"
    )
    prior = rgmkit.load(train(tmp_path / "mirror.yaml", tmp_path / "out"))
    x = Digits(split="held-out").images[:2]
    y = prior.degrade(x, 4, generator=seeded(0))
    assert prior.restore(y, 4, generator=seeded(1)).shape == x.shape


@pytest.mark.parametrize(
    "change, word",
    [
        ({"network": None}, "network"),
        ({"netwrok": "mlp"}, "network"),
        ({"training": {"step": 3}}, "steps"),
        ({"training": {"steps": 0}}, "training"),
        ({"data": "digitz"}, "digits"),
        ({"process": {"use": "gaussian", "levels": "four"}}, "process.levels"),
        ({"process": "multiscale"}, "multiscale"),
        ({"network": "unet"}, "unet is a network for images"),
        ({"critic": torch.nn.Linear(3, 1)}, "critic"),
        ({"training": {"spread": 2}}, "spread"),
        ({"training": {"ema": -0.1}}, r"training\.ema is -0\.1"),
    ],
)
def test_wrong_configurations_name_the_place(tmp_path, change, word):
    with pytest.raises(rgmkit.RgmkitError, match=word):
        train({**POINTS, **change}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_levels_keep_their_proportions_in_every_batch(tmp_path):
    config = {**POINTS, "training": {"batch": 40, "level_weights": [4, 3, 2, 1]}}
    run = prepare(config)
    for step in range(5):
        count = torch.bincount(draw_levels(run, seeded(step)), minlength=5)[1:]
        assert (count - torch.tensor([16, 12, 8, 4])).abs().max() <= 1


def test_learning_rate_restarts_for_the_final_steps(tmp_path):
    config = {**POINTS, "training": {"steps": 30, "final_steps": 10, "lr": 1e-2, "final_lr": 1e-3}}
    schedule = prepare(config).schedules[0]
    rates = [1e-2 * schedule.lr_lambdas[0](step) for step in range(31)]
    assert rates[0] == pytest.approx(1e-2) and rates[10] == pytest.approx(5e-3) and rates[19] < 1e-4
    assert rates[20] == pytest.approx(1e-3) and rates[25] == pytest.approx(5e-4) and rates[30] == pytest.approx(0)


def test_both_learning_rates_end_where_they_are_told_to(tmp_path):
    config = {**POINTS, "training": {"steps": 30, "lr": 1e-2, "critic_lr": 4e-3, "lr_end": 1e-3}}
    run = prepare(config)
    for start, schedule in zip((4e-3, 1e-2), sorted(run.schedules, key=lambda s: s.base_lrs), strict=True):
        rates = [start * schedule.lr_lambdas[0](step) for step in (0, 15, 30)]
        assert rates == pytest.approx([start, (start + 1e-3) / 2, 1e-3])
    with pytest.raises(ConfigError, match=r"lr_end is 0\.005, more than critic_lr, 0\.004"):
        prepare({**config, "training": {**config["training"], "lr_end": 5e-3}})


def test_every_example_once_per_epoch():
    data = Digits()
    seen = torch.cat([data.batch(100, seed=3, step=step) for step in range(15)])
    assert seen.flatten(1).sum(1).sort().values.equal(data.images.flatten(1).sum(1).sort().values)
    assert not seen[:100].equal(data.batch(100, seed=3, step=15))


@pytest.mark.parametrize("toy, modes", [(GMM(), 8), (Gaussian25(), 25), (Checkerboard(), 8)])
def test_scores_of_the_toys_themselves(toy, modes):
    points = toy.examples(4000, seed=1)
    score = toy.score(points)
    assert score["modes"] == score["of"] == modes and score["inside"] > 0.999
    assert abs(float((points / toy.scale).square().mean()) - 1) < 0.05
    one = toy.score(points[:1].expand(100, 2))
    assert one["modes"] == 1


@pytest.mark.parametrize("prior", [{}, {"prior": "gan"}], ids=["default", "named"])
def test_a_checkpoint_of_version_0_1_is_resumed(tmp_path, prior):
    """It has the prior's old name, and so may the file of the user."""
    out = train(POINTS, tmp_path / "run")
    whole = weights(out)
    first, *later = sorted((out / "checkpoints").glob("step-*.pt"))
    for path in later:
        path.unlink()
    state = torch.load(first, weights_only=True)
    assert state["step"] < 8 and "('prior', \"'network'\")" in state["config"]
    state["config"] = state["config"].replace("'network'\"", "'gan'\"")
    torch.save(state, first)
    assert all(w.equal(whole[name]) for name, w in weights(train({**POINTS, **prior}, out, resume=True)).items())
    with pytest.raises(rgmkit.CheckpointError, match=r"prior was 'network' and is another"):
        train({**POINTS, "prior": {"use": "network"}}, out, resume=True)


def test_model_cards_of_version_0_1_are_read_by_the_present_names():
    facts = {"steps": 2, "figures": {"noise": {"sure": 0.7, "nearest": 1.1}, "real level 3": {"frechet": 2.5}}}
    card = read_card(f"---\n{dump_yaml(facts)}---\n# old\n")
    assert card == {
        "steps": 2,
        "metrics": {
            "noise": {"confident": 0.7, "nearest_neighbour_ratio": 1.1},
            "chain started at level 3": {"frechet": 2.5},
        },
    }


def test_the_old_name_of_the_held_out_digits():
    with pytest.warns(DeprecationWarning, match="'held-out'"):
        old = Digits(split="held-back")
    assert old.images.equal(Digits(split="held-out").images) and len(old) == 297
