"""Training that survives: killed, stopped, refused, diverged, and never a lost checkpoint."""

from __future__ import annotations

import csv
import errno
import os
import random
import re
import signal
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import rgmkit
from rgmkit.images import write
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training import loop
from rgmkit.training.checkpoint import load_last
from rgmkit.training.data.files import Folder

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


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The weights of an uninterrupted training on points."""
    return weights(train(POINTS, tmp_path_factory.mktemp("points") / "whole"))


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed_equals_uninterrupted(tmp_path, fresh_processes):
    whole = weights(train(DIGITS, tmp_path / "whole"))
    out, chance, half_written = tmp_path / "parts", random.Random(0), 0
    for kill in range(6):
        resume = (out / "checkpoints").is_dir()
        child = fresh_processes.Process(target=train, args=(DIGITS, out), kwargs={"resume": resume})
        child.start()
        until, part = newest(out) + chance.randint(0, 4), f".*.{child.pid}.part"
        while child.is_alive() and newest(out) < until:
            time.sleep(0.002)
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
    with (out / "losses.csv").open("a") as table:
        table.write("4")  # cut, too
    resumed = weights(train(config, out, resume=True, overrides=["training.keep=1"]))
    assert all(whole[name].equal(resumed[name]) for name in whole)
    with (out / "losses.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [row["step"] for row in rows] == ["10", "20", "30"] and float(rows[0]["lr"]) > float(rows[1]["lr"])
    assert all(float(row[name]) for row in rows for name in ("seconds", "critic", "prior", "fidelity"))
    assert rgmkit.images.read(out / "losses.png").x.shape[-1] > 500
    first.write_bytes(b"")
    last.write_bytes(last.read_bytes()[:500])
    with pytest.raises(rgmkit.CheckpointError, match="cut or damaged"):
        train(config, out, resume=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_step_and_leaves_a_checkpoint(tmp_path, monkeypatch, number, whole):
    step, came = loop.train_step, []

    def signalled(run, batch):
        if run.step == 6 and not came:
            came.append(os.kill(os.getpid(), number))
            time.sleep(0.001)  # the handler runs here, within the step
        return step(run, batch)

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


def test_a_signal_does_not_wait_for_a_preview(tmp_path, monkeypatch):
    restore = rgmkit.RestoringPrior.restore

    def signalled(prior, *args, **options):
        signal.raise_signal(signal.SIGINT)
        return restore(prior, *args, **options)

    monkeypatch.setattr(rgmkit.RestoringPrior, "restore", signalled)
    with pytest.raises(KeyboardInterrupt):
        train(POINTS, tmp_path / "run", overrides=["training.preview_every=5"])
    assert newest(tmp_path / "run") == 6 and not (tmp_path / "run" / "samples").exists()


def test_minutes_between_checkpoints_and_how_many_are_kept(tmp_path, monkeypatch):
    clock = iter(range(0, 10**6, 60))  # each look at it is a minute later
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    saved = []
    save = loop.save_checkpoint
    monkeypatch.setattr(loop, "save_checkpoint", lambda run, out: (saved.append(run.step), save(run, out)))
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


def yaml_file(path, config):
    path.write_text(yaml.safe_dump(config))
    return path


def one_line(err):
    """The error of a command, which is its last line."""
    line = err.splitlines()[-1]
    assert line.startswith("error: ") and err.count("error:") == 1 and "Traceback" not in err, err
    return line


def spoilt(monkeypatch, at, spoil):
    """Training steps, of which one is followed by `spoil(run, losses)`."""
    step = loop.train_step

    def spoiling(run, batch):
        losses = step(run, batch)
        return spoil(run, losses) if run.step == at else losses

    monkeypatch.setattr(loop, "train_step", spoiling)


def nan_loss(run, losses):
    return {**losses, "prior": losses["prior"] * float("nan")}


def nan_weight(run, losses):
    next(run.network.parameters()).data.view(-1)[0] = float("nan")
    return losses


def huge_critic(run, losses):
    return {**losses, "critic": losses["critic"] + 1e9}


@pytest.mark.parametrize(
    "spoil, at, words, last",
    [
        (nan_loss, 24, "the loss 'prior' is nan at step 24", 20),
        (nan_weight, 24, "the loss 'critic' is nan at step 25", 20),
        (nan_weight, 19, "the weight .* of the network is not finite at step 20", 10),  # of a checkpoint
        (huge_critic, 24, "the critic has diverged: its absolute loss is .* on average", 20),
    ],
)
def test_a_run_that_diverges_ends_at_its_last_good_checkpoint(tmp_path, monkeypatch, run, spoil, at, words, last):
    config = {**POINTS, "training": {**POINTS["training"], "checkpoint_every": 10}}
    spoilt(monkeypatch, at, spoil)
    out = tmp_path / "run"
    code, _, err = run("train", yaml_file(tmp_path / "a.yaml", config), "-o", out, "--device", "cpu")
    assert code == 2 and re.search(words, one_line(err)) and f"last good checkpoint, of step {last}" in err, err
    facts = rgmkit.models.folder.describe(out)["facts"]
    assert load_last(out)["step"] == facts["steps"] == last and str(last) in facts["unfinished"]
    assert all(value.isfinite().all() for value in weights(out).values())


def test_a_learning_rate_that_is_far_too_large(tmp_path):
    words = r"(is (nan|inf)|not finite|diverged).*there is no good checkpoint but that of the initial weights"
    with pytest.raises(rgmkit.TrainingError, match=words):
        train(POINTS, tmp_path / "run", overrides=["training.lr=1e30"])
    assert newest(tmp_path / "run") == 0  # the first weights


@pytest.mark.parametrize("at", [-1, 14])
def test_a_full_disk(tmp_path, monkeypatch, run, at):
    """A limit on the size of a file, which the system enforces, is met as a full disk is: half-way through it."""
    config = yaml_file(tmp_path / "a.yaml", {**POINTS, "training": {**POINTS["training"], "checkpoint_every": 5}})
    out, kept = tmp_path / "run", {}
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(run, losses):
        monkeypatch.undo()
        kept.update(checkpoints(out))
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        return losses

    spoilt(monkeypatch, at, fill)
    try:
        if at < 0:
            fill(None, None)
        code, _, err = run("train", config, "-o", out, "--device", "cpu")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 2 and "cannot be written (File too large): make room; training stopped at step" in one_line(err)
    assert checkpoints(out) == kept and not list(out.rglob("*.part"))
    assert ("the last checkpoint is" in err and newest(out) == 10) if kept else "there is no checkpoint yet" in err
    assert run("train", config, "-o", out, "--device", "cpu", *(["--resume"] if kept else [])).code == 0


def generate(run, out):
    return run("generate", "digits", "-n", 4, "-o", out, "--device", "cpu")


def test_generating_onto_a_full_disk(tmp_path, run):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        code, _, err = generate(run, tmp_path / "a.npz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 2 and f"{tmp_path / 'a.npz'} cannot be written (File too large): make room" in one_line(err)
    assert not list(tmp_path.iterdir())


def test_generating_is_ended_by_a_signal(tmp_path, monkeypatch, run):
    monkeypatch.setattr("rgmkit.cli.generate._to_rows", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # in place of the end of the tests
    try:
        assert generate(run, tmp_path / "a.npz").code == 128 + signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM)(0, None) is None and not list(tmp_path.iterdir())
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch, run):
    mkdir = Path.mkdir

    def sealed(path, *args, **options):  # for root, too
        if tmp_path / "sealed" in path.parents:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        mkdir(path, *args, **options)

    monkeypatch.setattr(Path, "mkdir", sealed)
    code, _, err = run(
        "train", yaml_file(tmp_path / "a.yaml", POINTS), "-o", tmp_path / "sealed" / "run", "--device", "cpu"
    )
    assert code == 2 and "sealed/run" in one_line(err) and "(Read-only file system): give another folder" in err


def test_another_configuration_and_other_data(tmp_path, run):
    first = train(DIGITS, tmp_path / "run", overrides=["training.steps=2"])
    before = checkpoints(first)
    for change, words in [
        ({"seed": 1}, "was trained with another configuration (seed was 0 and is 1)"),
        ({"data": {"use": "digits", "split": "held-out"}}, "(data was 'digits' and is another)"),
        ({"network": {"use": "unet", "width": 8, "blocks": 2}}, "(network.blocks was 1 and is 2)"),
    ]:
        config = {**DIGITS, **change, "training": {**DIGITS["training"], "steps": 2}}
        code, _, err = run("train", yaml_file(tmp_path / "a.yaml", config), "-o", first, "--resume", "--device", "cpu")
        assert code == 2 and words in one_line(err)
    assert checkpoints(first) == before


def test_another_network_of_the_same_class(tmp_path):
    class Mine(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.Linear(width, 2))

        def forward(self, y, level, z=None):
            return self.layers(y) if z is not None else self.layers(y)[:, 0]

    def config(width):
        return {**POINTS, "network": Mine(width), "critic": Mine(4), "training": {"steps": 2, "preview_every": 0}}

    out = train(config(4), tmp_path / "run")
    with pytest.raises(rgmkit.CheckpointError, match=r"the state of another network.*layers\.0\.weight") as error:
        train(config(5), out, resume=True)
    assert "\n" not in str(error.value)


def test_resuming_what_has_not_begun_starts_it(tmp_path, capsys, whole):
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "new"):
        rgmkit.train(POINTS, out=out, resume=True)
        assert capsys.readouterr().err.startswith(f"note: nothing to resume in {out}: started from the beginning\n")
        assert all(whole[name].equal(weights(out)[name]) for name in whole)


def test_a_finished_run_is_left_or_its_model_written(tmp_path, capsys):
    out = train(POINTS, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name not in (".lock", ".owner")}
    rgmkit.train(POINTS, out=out, resume=True)
    assert capsys.readouterr().err == f"note: {out} is finished: 30 steps are done, and the model is written\n"
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name not in (".lock", ".owner")}
    whole = weights(out)
    for file in ("README.md", "model.safetensors"):
        (out / file).unlink()
        train(POINTS, out, resume=True)
        assert (out / "README.md").is_file() and all(whole[name].equal(weights(out)[name]) for name in whole)


@pytest.mark.parametrize(
    "place, words",
    [
        ("set_up", "stopped before the first step: continue with --resume"),
        ("train_step", "stopped at step 3 of 30: continue with --resume"),  # by a second Ctrl-C, which does not wait
        ("write_model", "stopped before the model was written: --resume writes it"),
    ],
)
def test_ctrl_c_says_where_and_how_to_go_on(tmp_path, monkeypatch, run, place, words):
    function = getattr(loop, place)

    def interrupted(*args, **options):
        if place != "train_step" or args[0].step == 3:
            raise KeyboardInterrupt
        return function(*args, **options)

    monkeypatch.setattr(loop, place, interrupted)
    code, _, err = run("train", yaml_file(tmp_path / "a.yaml", POINTS), "-o", tmp_path / "run", "--device", "cpu")
    assert code == 130 and err.rstrip().splitlines()[-1] == f"warning: {words}"


def test_a_run_introduces_itself_where_its_progress_is_shown(tmp_path, capsys):
    small = ["training.steps=2", "data=digits:split=held-out"]
    out = rgmkit.train(DIGITS, out=tmp_path / "run", overrides=small)
    line = capsys.readouterr().err.splitlines()[0]
    assert re.fullmatch(rf"digits:split=held-out: 297 examples of 1x16x16; parameters: .*; 2 steps, into {out}", line)
    assert f"network {rgmkit.models.folder.describe(out)['parameters']:,}, critic" in line
    train(POINTS, tmp_path / "quiet", overrides=["training.steps=2"])
    assert capsys.readouterr().err == ""


def test_resuming_is_offered_only_where_there_is_a_run(tmp_path):
    (tmp_path / "notes.txt").write_text("not of a run")
    with pytest.raises(rgmkit.ConfigError, match=r"is not empty: give another folder with -o$"):
        train(POINTS, tmp_path)


def test_a_process_that_is_gone(monkeypatch):
    def gone(*_):
        raise RuntimeError(
            "[/a/b/pair.cc:561] Connection closed by peer [127.0.0.1]:5510. This is\ntypically caused by"
        )

    monkeypatch.setattr("rgmkit.runtime.processes.dist.all_reduce", gone)
    words = r"another process .* \(Connection closed by peer \[127.0.0.1\]:5510\)"
    with pytest.raises(rgmkit.TrainingError, match=words):
        ProcessGroup(torch.device("cpu"), 2, 0).reduce_max(1)


def pictures(folder, sizes):
    for i, (height, width) in enumerate(sizes):
        write(folder / f"{i}.png", torch.full((3, height, width), 0.5))
    return folder


def test_pictures_that_cannot_be_trained_on(tmp_path, run):
    """Nothing is made of a run whose data cannot be read; pictures of different sizes can, if the crop fits."""
    mixed = pictures(tmp_path / "mixed", [(20, 30), (16, 16), (40, 18)])
    broken = pictures(tmp_path / "broken", [(20, 20)] * 3)
    (broken / "x.png").write_bytes((broken / "0.png").read_bytes()[:50])
    (tmp_path / "empty").mkdir()
    network = {"use": "unet", "width": 8, "blocks": 1}
    numbers = {"steps": 1, "batch": 2, "preview_every": 0}
    for folder, size, words in [
        ("empty", 16, "holds no pictures"),
        ("broken", 16, "1 of 4 pictures are broken, more than 1%"),
        ("mixed", 17, "smaller than the crop of size 17: 1 of 3"),
        ("mixed", 16, None),
    ]:
        data = {"use": "folder", "path": folder, "size": size}
        config = yaml_file(tmp_path / "a.yaml", {"data": data, "network": network, "training": numbers})
        code, _, err = run("train", config, "-o", tmp_path / "run", "--device", "cpu")
        if words is None:
            assert code == 0 and rgmkit.load(tmp_path / "run").image_shape == (3, 16, 16), mixed
        else:
            assert code == 2 and words in one_line(err) and not (tmp_path / "run").exists()


def test_a_picture_that_vanishes_half_way(tmp_path, monkeypatch):
    folder = pictures(tmp_path / "many", [(16, 16)] * 150)
    monkeypatch.setattr("rgmkit.training.data.pictures.MEMORY", 0)  # read again at each draw
    data = Folder(path=folder, size=16)
    (folder / "7.png").unlink()
    with pytest.warns(UserWarning, match=r"7\.png does not exist") as caught:
        for step in range(3):
            data.batch(150, seed=0, step=step)
    assert len(caught) == 1
