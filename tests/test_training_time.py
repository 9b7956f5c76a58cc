"""Training by the clock: a budget of minutes, previews, and a model that can be used meanwhile."""

from __future__ import annotations

import csv
import math
import signal
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

import rgmkit
from rgmkit.errors import ConfigError
from rgmkit.models.folder import describe
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training import loop, rehearsal
from rgmkit.training.checkpoint import load_last
from rgmkit.training.configuration import read_configuration
from rgmkit.training.log import describe_pace
from rgmkit.training.setup import set_up

POINTS = {"data": "gmm", "network": "mlp", "training": {"minutes": 2, "batch": 8, "lr": 1e-3, "threads": 1}}


def train(config, out, **options):
    return rgmkit.train(config, out=out, progress=False, **options)


def prepare(config):
    return set_up(read_configuration(config), ProcessGroup(torch.device("cpu")))


@pytest.fixture
def ten_seconds_a_step(monkeypatch):
    """Replace the clock of training by one that a step moves on by 10 seconds."""
    now, step = SimpleNamespace(seconds=0.0), loop.train_step

    def counted(run, batch):
        now.seconds += 10
        return step(run, batch)

    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: now.seconds, monotonic=lambda: now.seconds))
    monkeypatch.setattr(loop, "train_step", counted)
    monkeypatch.setattr(loop, "measure_steps", lambda run: rehearsal.Pace(10.0, 1024.0))


def rates(out):
    with (out / "losses.csv").open() as table:
        return {int(row["step"]): float(row["lr"]) for row in csv.DictReader(table)}


def cosine(progress):
    return 1e-3 * (1 + math.cos(math.pi * progress)) / 2


def sheets(out):
    return [int(path.stem[5:]) for path in sorted((out / "samples").glob("*.png"))]


def test_the_learning_rate_follows_the_clock(tmp_path, ten_seconds_a_step):
    out = train(POINTS, tmp_path / "run")
    assert load_last(out)["step"] == 12 and load_last(out)["seconds"] == 120
    rate = rates(out)
    assert [rate[step] for step in (7, 12)] == pytest.approx([cosine(60 / 120), cosine(110 / 120)], rel=1e-3)
    assert sheets(out) == [1, 4, 7, 10, 12]  # after 10 seconds, 20 after the next step, the least distance, and last
    assert describe(out)["facts"]["steps"] == 12 and "unfinished" not in describe(out)["facts"]


def test_a_bar_is_shown_unless_it_is_not_wanted(tmp_path, capsys):
    config = {**POINTS, "training": {"steps": 2, "preview_every": 0, "threads": 1}}
    rgmkit.train(config, out=tmp_path / "shown")
    assert "2/2 [" in capsys.readouterr().err
    train(config, tmp_path / "hidden")
    assert "2/2 [" not in capsys.readouterr().err


def test_resuming_with_more_minutes_goes_on(tmp_path, ten_seconds_a_step, capsys):
    out = train(POINTS, tmp_path / "run")
    rgmkit.train(POINTS, out=out, resume=True)
    assert "is finished: 12 steps are done, and the model is written; with more minutes" in capsys.readouterr().err
    train(POINTS, out, resume=True, overrides=["training.minutes=4"])
    assert load_last(out)["step"] == 24 and load_last(out)["seconds"] == 240
    rate = rates(out)
    assert [rate[step] for step in (15, 24)] == pytest.approx([cosine(140 / 240), cosine(230 / 240)], rel=1e-3)
    with pytest.raises(rgmkit.CheckpointError, match=r"training\.minutes was 'any' and is not given"):
        train({**POINTS, "training": {**POINTS["training"], "minutes": None}}, out, resume=True)


def test_a_model_can_be_used_while_the_run_goes_on_and_after_a_stop(tmp_path, monkeypatch, ten_seconds_a_step, caplog):
    out, step, found = tmp_path / "run", loop.train_step, {}

    def watched(run, batch):
        if run.step == 5:
            found.update(describe(out)["facts"])
            assert rgmkit.generate(rgmkit.load(out), 2).shape == (2, 2)
            signal.raise_signal(signal.SIGINT)
        return step(run, batch)

    monkeypatch.setattr(loop, "train_step", watched)
    with pytest.raises(KeyboardInterrupt):
        train(POINTS, out)
    assert found["steps"] == 4 and found["unfinished"] == "minute 0.667 of 2, step 4"
    assert describe(out)["facts"]["unfinished"] == "minute 1 of 2, step 6"
    average = load_last(out)["average"]
    assert all(w.equal(average[f"module.{name}"]) for name, w in load_file(out / "model.safetensors").items())
    assert "stopped at minute 1 of 2, step 6: continue with --resume" in caplog.text
    monkeypatch.setattr(loop, "train_step", step)
    train(POINTS, out, resume=True)
    assert load_last(out)["step"] == 12 and "unfinished" not in describe(out)["facts"]


def test_a_stop_at_the_last_step_leaves_the_metrics_to_resume(tmp_path, monkeypatch, ten_seconds_a_step):
    out, step = tmp_path / "run", loop.train_step

    def stopped(run, batch):
        if run.step == 11:
            signal.raise_signal(signal.SIGINT)
        return step(run, batch)

    monkeypatch.setattr(loop, "train_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(POINTS, out)
    assert describe(out)["facts"]["unfinished"] == "minute 2 of 2, step 12"
    assert describe(train(POINTS, out, resume=True))["facts"]["metrics"]


def test_measuring_steps_changes_nothing():
    run = prepare(POINTS)
    before = {name: part.state_dict() for name, part in run.stateful_parts().items()}
    before = {name: {key: str(value) for key, value in state.items()} for name, state in before.items()}
    random = torch.get_rng_state()
    times = iter([0.0, 3.0, 3.5, 4.0, 4.5, 5.0])
    pace = rehearsal.measure_steps(run, clock=lambda: next(times))
    assert pace.seconds == 0.5 and pace.mib > 0  # without the first
    after = {name: part.state_dict() for name, part in run.stateful_parts().items()}
    assert before == {name: {key: str(value) for key, value in state.items()} for name, state in after.items()}
    assert random.equal(torch.get_rng_state()) and run.step == 0
    slow = iter([0.0, 30.0])
    assert rehearsal.measure_steps(run, clock=lambda: next(slow)).seconds == 30


def test_the_prediction_says_if_few_steps_fit():
    run = prepare(POINTS)
    line = describe_pace(run, rehearsal.Pace(0.5, 1024.0))
    assert line.endswith("0.5 s per step, about 240 steps and 1,900 images in 2 minutes, 1.0 GiB of memory")
    assert "about 12 steps" in describe_pace(run, rehearsal.Pace(10, 1024.0))
    assert "so few steps change little: give more minutes" in describe_pace(run, rehearsal.Pace(10, 1024.0))


def test_too_little_memory_is_one_line(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(rehearsal, "train_step", full)
    with pytest.raises(ConfigError, match=r"more memory than cpu has free: give a smaller training\.batch") as error:
        rehearsal.measure_steps(prepare(POINTS))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"minutes": 0}, r"training\.minutes is 0: give a number above 0"),
        ({"minutes": "long"}, r"training\.minutes is 'long'"),
        ({"minutes": 1, "steps": 10}, "training has steps, 10, and minutes, 1: give one of them"),
        ({"minutes": 1, "final_steps": 10}, "final_steps is 10, and the budget is in minutes"),
    ],
)
def test_budgets_that_are_refused(change, words):
    with pytest.raises(ConfigError, match=words) as error:
        read_configuration({**POINTS, "training": change})
    assert "\n" not in str(error.value)


def test_only_the_critic_learns_at_first():
    config = {**POINTS, "training": {"steps": 30, "lr": 1e-2, "critic_first": 0.1}}
    restorer, critic = prepare(config).schedules
    factors = [[schedule.lr_lambdas[0](step) for step in range(8)] for schedule in (restorer, critic)]
    assert factors[0][:4] == [0, 0, 0, 0] and 0 < factors[0][4] < factors[0][5] < factors[0][6]
    assert factors[0][6:] == factors[1][6:] and factors[1][0] == 1
