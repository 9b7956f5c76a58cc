"""Training that survives: killed, stopped, refused, diverged, and never a lost checkpoint."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time

import pytest
from safetensors.torch import load_file

import rgmkit
from rgmkit.training import loop
from rgmkit.training.checkpoint import load_last

DIGITS = {
    "data": "digits",
    "network": {"use": "unet", "width": 8, "blocks": 1},
    "critic": {"use": "unet-discriminator", "width": 8},
    "training": {
        "steps": 40, "batch": 4, "spread": 0.5, "threads": 1, "checkpoint_every": 1, "preview_every": 0,
    },
}  # fmt: skip
POINTS = {"data": "gmm", "network": "mlp", "training": {"steps": 30, "batch": 16, "threads": 1, "preview_every": 0}}


def train(config, out, **options):
    return rgmkit.train(config, out=out, progress=False, **options)


def weights(out):
    return load_file(out / "model.safetensors")


def checkpoints(out):
    return {path: path.read_bytes() for path in (out / "checkpoints").glob("step-*.pt")}


def newest(out):
    return max((int(path.stem[5:]) for path in (out / "checkpoints").glob("step-*.pt")), default=-1)


def test_killed_at_any_moment_and_resumed_equals_uninterrupted(tmp_path):
    whole = weights(train(DIGITS, tmp_path / "whole"))
    context = multiprocessing.get_context("forkserver")  # a fresh process each time, without its imports
    context.set_forkserver_preload(["rgmkit.training", "rgmkit_gan.networks.unet", "rgmkit_gan.objectives"])
    out, chance, half_written = tmp_path / "parts", random.Random(0), 0
    for kill in range(6):
        resume = (out / "checkpoints").is_dir()
        child = context.Process(target=train, args=(DIGITS, out), kwargs={"resume": resume})
        child.start()
        until, part = newest(out) + chance.randint(0, 4), f".*.{child.pid}.part"
        while child.is_alive() and newest(out) < until:
            time.sleep(0.0002)
        while kill % 2 and child.is_alive() and not any((out / "checkpoints").glob(part)):
            time.sleep(0.0002)
        time.sleep(chance.uniform(0, 0.02) if kill % 2 == 0 else 0)
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        half_written += any((out / "checkpoints").glob(part))
    assert half_written
    resumed = weights(train(DIGITS, out, resume=True))
    assert all(whole[name].equal(resumed[name]) for name in whole)
    assert not list(out.rglob("*.part")) and len(checkpoints(out)) == 2


@pytest.mark.parametrize("damage", ["cut", "empty", "one bit"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    config = {**POINTS, "training": {**POINTS["training"], "checkpoint_every": 10, "keep": 3}}
    out = train(config, tmp_path / "run")
    whole = weights(out)
    first, second, last = sorted(checkpoints(out))
    for path in (second, last):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes({"cut": data[:-1000], "empty": b"", "one bit": bytes(data)}[damage])
    assert load_last(out)["step"] == 10
    resumed = weights(train(config, out, resume=True, overrides=["training.keep=1"]))
    assert all(whole[name].equal(resumed[name]) for name in whole)
    first.write_bytes(b"")
    last.write_bytes(last.read_bytes()[:500])
    with pytest.raises(rgmkit.CheckpointError, match="cut or damaged"):
        train(config, out, resume=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_step_and_leaves_a_checkpoint(tmp_path, monkeypatch, number):
    step, came = loop.train_step, []

    def signalled(run, batch):
        if run.step == 6 and not came:
            came.append(os.kill(os.getpid(), number))
            time.sleep(0.001)  # the handler runs here, within the step
        return step(run, batch)

    whole = weights(train(POINTS, tmp_path / "whole"))
    monkeypatch.setattr(loop, "train_step", signalled)
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # in place of the end of the tests
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train(POINTS, tmp_path / "parts")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert newest(tmp_path / "parts") == 7
    resumed = weights(train(POINTS, tmp_path / "parts", resume=True))
    assert all(whole[name].equal(resumed[name]) for name in whole)


def test_minutes_between_checkpoints_and_how_many_are_kept(tmp_path, monkeypatch):
    clock = iter(range(0, 10**6, 60))  # each look at it is a minute later
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    saved = []
    monkeypatch.setattr(loop, "_save", lambda run, out, save=loop._save: (saved.append(run.step), save(run, out)))
    out = train(POINTS, tmp_path / "run", overrides=["training.checkpoint_minutes=2.5", "training.keep=3"])
    assert saved == [0, *range(3, 31, 3)]
    assert len(checkpoints(out)) == 3


def test_the_second_run_in_a_folder_is_refused(tmp_path, monkeypatch):
    step, refused = loop.train_step, []

    def crowded(run, batch):
        if run.step == 3:
            with pytest.raises(rgmkit.ConfigError, match="is being trained by process") as error:
                train(POINTS, tmp_path / "run", resume=True)
            refused.append(str(error.value))
        return step(run, batch)

    monkeypatch.setattr(loop, "train_step", crowded)
    out = train(POINTS, tmp_path / "run")
    assert str(os.getpid()) in refused[0] and "\n" not in refused[0]
    train(POINTS, out, resume=True)  # free again


def test_killed_before_the_first_checkpoint(tmp_path):
    for resume in (False, True):
        out = tmp_path / f"{resume}"
        (out / "checkpoints").mkdir(parents=True)
        (out / "checkpoints" / ".lock").write_text("1234")
        (out / "checkpoints" / ".step-00000000.pt.1234.part").write_bytes(b"cut")
        assert newest(train(POINTS, out, resume=resume)) == 30
