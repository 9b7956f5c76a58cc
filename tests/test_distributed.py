"""Several processes train and generate as one would: two on this machine, joined by gloo."""

from __future__ import annotations

import os
import socket
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import rgmkit
from rgmkit.cli.app import main
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training import finish
from rgmkit.training.checkpoint import load_last
from rgmkit.training.configuration import read_configuration
from rgmkit.training.draws import draw_batch
from rgmkit.training.loop import train_step
from rgmkit.training.setup import set_up

DIGITS = {
    "data": "digits",
    "network": {"use": "unet", "width": 8, "blocks": 1},
    "critic": {"use": "unet-discriminator", "width": 8},
    "objective": {"use": "js", "interval": 2},
    "training": {"steps": 5, "batch": 8, "lr": 1e-4, "spread": 0.5, "threads": 1, "preview_every": 2},
}
GROUPED = {**DIGITS, "objective": "kl"}


class Grouped(nn.Module):
    """A discriminator that compares image i with image i + B/2: each score holds how far the two are apart."""

    compares_batch, group = True, 2

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(256, 1)

    def forward(self, x, t):
        score = self.layer(x.flatten(1))[:, 0]
        return score + score.view(2, -1).diff(dim=0).abs().repeat(1, 2)[0]


def config(name):
    return {"digits": DIGITS, "grouped": {**GROUPED, "critic": Grouped()}}[name]


def steps(processes, name, accumulate=1):
    """Five steps in a process group: the losses, averaged over the processes, and all weights."""
    given = config(name)
    given = {**given, "training": {**given["training"], "accumulate": accumulate}}
    run, losses = set_up(read_configuration(given), processes), []
    for run.step in range(5):
        row = torch.stack([*train_step(run, draw_batch(run, run.step)).values()])
        processes.average_([row])
        losses.append(row)
    weights = {
        f"{part} {key}": w
        for part in ("network", "critic", "average")
        for key, w in run.stateful_parts()[part].state_dict().items()
    }
    return {"losses": torch.stack(losses), **weights}


def in_team(rank, port, folder):
    """What each of two processes does; what it has found is in a file of its own."""
    where = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in where.items()}}
    torch.set_num_threads(1)
    finish.evaluate_chains = partial(finish.evaluate_chains, n=50)  # as for all tests
    processes = ProcessGroup.join("cpu")
    found = {name: steps(processes, name) for name in ("digits", "grouped")}
    out = folder / "run"
    rgmkit.train(DIGITS, out=out, progress=False, overrides=["training.steps=5", "training.checkpoint_every=3"])
    found["errors"] = []
    for options in ({}, {"resume": True, "overrides": ["training.lr=1"]}):
        try:
            rgmkit.train(DIGITS, out=out, progress=False, **options)
        except rgmkit.RgmkitError as error:
            found["errors"].append(str(error))
    try:
        main(["generate", "digits", "-n", "11", "--batch", "2", "-o", str(folder / "many.npz"), "--device", "cpu"])
    except SystemExit as error:
        found["code"] = error.code
    torch.save(found, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def together(tmp_path_factory, fresh_processes):
    """What two processes have found, and the folder that they worked in."""
    folder = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    members = [fresh_processes.Process(target=in_team, args=(rank, port, folder)) for rank in range(2)]
    for member in members:
        member.start()
    for member in members:
        member.join(240)
        assert member.exitcode == 0
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)], folder


def close(found, expected):
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=2e-6, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "grouped"])
def test_two_processes_train_as_one(together, name):
    (first, second), _ = together
    assert all(first[name][key].equal(second[name][key]) for key in first[name])  # bit by bit: nothing drifts apart
    close(first[name], steps(ProcessGroup(torch.device("cpu")), name))


@pytest.mark.parametrize("name", ["digits", "grouped"])
def test_accumulated_parts_train_as_the_whole(name):
    alone = ProcessGroup(torch.device("cpu"))
    close(steps(alone, name, accumulate=4), steps(alone, name))


@pytest.mark.slow
def test_two_processes_write_one_run(together, tmp_path):
    (first, second), folder = together
    out = rgmkit.train(DIGITS, out=tmp_path / "one", progress=False)
    state, alone = load_last(folder / "run"), load_last(out)
    assert state["step"] == alone["step"] == 5
    close(state["average"], alone["average"])
    assert (folder / "run" / "samples" / "step-00000004.png").is_file() and rgmkit.load(folder / "run")
    assert first["errors"] == second["errors"]  # the lead found them
    assert "is not empty" in first["errors"][0] and "another configuration" in first["errors"][1]
    rgmkit.train(DIGITS, out=folder / "run", progress=False, resume=True)  # in one process


@pytest.mark.slow
def test_two_processes_generate_what_one_does(together, tmp_path):
    (first, second), folder = together
    assert first["code"] == second["code"] == 0
    with pytest.raises(SystemExit):
        main(["generate", "digits", "-n", "11", "-o", str(tmp_path / "one.npz"), "--device", "cpu"])
    many, one = (np.load(path)["images"].astype(int) for path in (folder / "many.npz", tmp_path / "one.npz"))
    assert many.shape == one.shape == (11, 16, 16, 1) and abs(many - one).max() <= 1  # a step of the rounding


def test_rows_are_drawn_alike_in_any_number_of_processes():
    cpu = torch.device("cpu")
    whole = draw_batch(set_up(read_configuration(DIGITS), ProcessGroup(cpu)), 0)
    groups = [ProcessGroup(cpu, 4, rank) for rank in range(4)]
    parts = [draw_batch(set_up(read_configuration(DIGITS), group), 0) for group in groups]
    for name in ("x", "level", "noise", "z", "target", "real", "fake", "dropout"):  # no critic here compares
        assert getattr(whole, name).equal(torch.cat([getattr(part, name) for part in parts])), name


@pytest.mark.parametrize(
    "critic, change, words",
    [
        (None, {"batch": 9}, "batch is 9 for 2 processes with accumulate 1: give a multiple of 2"),
        (None, {"batch": 12, "accumulate": 4}, "give a multiple of 8"),
        (Grouped(), {"batch": 6}, "and the critic compares 2 images with each other: give a multiple of 4"),
    ],
)
def test_batches_that_cannot_be_shared_out(critic, change, words):
    given = {**DIGITS, "critic": critic or DIGITS["critic"], "training": change}
    with pytest.raises(rgmkit.ConfigError, match=words):
        set_up(read_configuration(given), ProcessGroup(torch.device("cpu"), 2, 0))
