"""Presets of `rgmkit train`, and images that are held out of training."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from rgmkit_noise.process import GaussianProcess

import rgmkit
from rgmkit.config import read_yaml
from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError
from rgmkit.images import write
from rgmkit.models.folder import describe
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training import preset, preview
from rgmkit.training.checkpoint import load_last
from rgmkit.training.configuration import read_configuration
from rgmkit.training.data.base import FiniteData
from rgmkit.training.data.digits import Digits
from rgmkit.training.data.held_out import hold_out
from rgmkit.training.presets import make_preset
from rgmkit.training.setup import set_up

MEANS = {
    "data": "digits",
    "process": {"use": "gaussian", "levels": 3, "schedule": "geometric", "r_first": 0.2, "r_last": 2},
    "network": {"use": "residual-unet", "widths": [8, 8], "down": [1, 1], "up": [1]},
    "objective": "mmse",
    "training": {"steps": 4, "batch": 8, "preview_every": 2, "held_out": 5, "threads": 1},
}
GAN = {"objective": "relativistic", "network": {"use": "unet", "width": 8, "blocks": 1}}


class FourSquares(FiniteData):
    shape = (1, 4, 4)

    def __len__(self):
        return 4

    def take(self, indices, generator):
        return torch.zeros(len(indices), 1, 4, 4)


def pictures(folder, sizes, channels=3):
    for i, (height, width) in enumerate(sizes):
        write(folder / f"{i:02}.png", torch.rand(channels, height, width, generator=seeded(i)))
    return folder


def one_line(done, words):
    assert done.code == 2 and words in done.err and done.err.count("\n") == 1, done.err


@pytest.mark.parametrize("goal", ["generate", "restore"])
def test_a_preset_trains_a_model_that_generates_and_restores(tmp_path, run, goal):
    folder = pictures(tmp_path / "pictures", [(16, 18)] * 20)
    given = ["--preset", "small", "--goal", goal, "--data", folder, "-o", tmp_path / "run", "--device", "cpu"]
    given += ["--minutes", "1e-3", "--set", "training.batch=4", "--set", "training.precision=float32"]
    done = run("train", *given)
    assert done.code == 0 and done.out.strip() == str(tmp_path / "run")
    assert "predicted for this machine: " in done.err and "GiB of memory" in done.err
    assert "nothing to resume" not in done.err
    prior = rgmkit.load(tmp_path / "run")
    assert prior.image_shape == (3, 16, 16) and prior.generative == (goal == "generate")
    assert prior.restore(torch.rand(1, 3, 20, 20), 2).shape == (1, 3, 20, 20)
    assert ("held_out_psnr" in describe(tmp_path / "run")["facts"]) == (goal == "restore")
    steps = describe(tmp_path / "run")["facts"]["steps"]
    more = [*given, "--resume", "--minutes", "1"]
    stopped = run("train", *more, "--set", "training.lr=1")
    one_line(stopped, "training.lr was")  # the rest of the configuration is the same when the preset is chosen again
    assert describe(tmp_path / "run")["facts"]["steps"] == steps


def test_a_preset_suits_the_pictures_and_the_machine(tmp_path, monkeypatch, caplog):
    colour = make_preset("small", pictures(tmp_path / "colour", [(40, 50), (33, 90)]))
    assert colour["data"]["size"] == 32 and colour["data"]["channels"] == "rgb" and not caplog.text
    small = make_preset("medium", pictures(tmp_path / "small", [(40, 50), (18, 90)]))
    assert small["data"]["size"] == 18
    grey = make_preset("small", pictures(tmp_path / "grey", [(80, 80)] * 2, 1), goal="restore")
    assert grey["data"]["channels"] == "grey" and grey["data"]["size"] == 64 and grey["training"]["grey"] == 0
    make_preset("small", pictures(tmp_path / "large", [(300, 200)]))
    assert "crops of 32 pixels show little of pictures of 200 pixels" in caplog.text
    monkeypatch.setattr("rgmkit.training.presets.is_accelerator", lambda device: device.type == "cpu")
    assert all(make_preset("small", "digits", goal=goal)["training"]["batch"] == 64 for goal in ("generate", "restore"))
    for native, precision in ((True, "bf16"), (False, "float32")):
        monkeypatch.setattr("rgmkit.training.presets.prefers_bf16", lambda _, native=native: native)
        assert make_preset("small", "digits")["training"]["precision"] == precision


@pytest.mark.parametrize("name", ["small", "medium", "large"])
@pytest.mark.parametrize("goal", ["generate", "restore"])
def test_every_preset_is_a_configuration(name, goal):
    configuration = read_configuration(preset(name, "digits", goal=goal, device="cpu"))
    run = set_up(configuration, ProcessGroup(torch.device("cpu")))
    assert run.settings.minutes and run.objective.generative == (goal == "generate")


@pytest.mark.parametrize("given", [{"preset": "tiny"}, {"preset": "small", "goal": "denoise"}])
def test_names_that_are_no_presets(given):
    with pytest.raises(ConfigError, match=r"(preset|goal) is '(tiny|denoise)': .*(medium|restore)"):
        make_preset(**given, data="digits")


def test_a_preset_is_written_as_a_file(tmp_path, run):
    folder, file = pictures(tmp_path / "pictures", [(20, 20)] * 3), tmp_path / "mine.yaml"
    given = ["train", "--preset", "small", "--data", folder, "--write", file, "--minutes", "3", "--device", "cpu"]
    assert run(*given).out.strip() == str(file)
    wanted = make_preset("small", folder)
    assert read_yaml(file) == {**wanted, "training": {**wanted["training"], "minutes": 3}}
    one_line(run(*given), "exists: name another file with --write")


@pytest.mark.parametrize(
    "given, words",
    [
        ([], "give a configuration file, or --preset and --data"),
        (["--preset", "small"], "give a configuration file, or --preset and --data"),
        (["--preset", "tiny", "--data", "digits"], "'tiny' is not one of"),
        (["a.yaml", "--preset", "small"], "--preset is given, and so is a.yaml"),
        (["."], ". is a folder: to train on its pictures, give --preset small --data ."),
        (["a.yaml", "--goal", "restore"], "--goal is given, and so is a.yaml"),
        (["--preset", "small", "--data", "no/such"], "no/such does not exist"),
        (["--preset", "small", "--data", "digitz"], "digitz"),
        (["--preset", "small", "--data", "gmm"], "the data gmm are points: presets are for images"),
        (["--preset", "small", "--data", "digits", "--minutes", "0"], "training.minutes is 0"),
        (["--preset", "small", "--data", "digits", "--minutes", "long"], "training.minutes is 'long'"),
        (["--preset", "small", "--data", "digits", "--set", "training.held_out=1500"], "held_out is 1500 of 1500"),
        (["--preset", "small", "--data", "digits", "--device", "abacus"], "device is 'abacus'"),
    ],
)
def test_presets_that_are_refused(tmp_path, monkeypatch, run, given, words):
    monkeypatch.chdir(tmp_path)
    done = run("train", *given)
    assert done.code == 2 and words in done.err.splitlines()[-1], done.err
    assert "Traceback" not in done.err and not (tmp_path / "runs").exists()


def test_held_out_images_are_never_trained_on():
    whole = Digits(split="train")
    data, held = hold_out(whole, 100)
    assert data.count == 1400 and held.shape == (100, 1, 16, 16)
    epoch = torch.cat([data.batch(200, seed=1, step=step) for step in range(7)]).flatten(1)
    both = torch.cat([epoch, held.flatten(1)])
    assert both.sum(1).sort().values.equal(whole.images.flatten(1).sum(1).sort().values)
    assert hold_out(whole, 100)[1].equal(held)
    assert data.has_score and not hold_out(FourSquares(), 1)[0].has_score
    with pytest.raises(ConfigError, match=r"training\.held_out is 3: give 0, or images"):
        hold_out(rgmkit.config.build("data", "gmm"), 3)


def test_the_psnr_of_held_out_images_is_logged(tmp_path, monkeypatch):
    measured = iter([20.5, 21.5, 22.0])
    monkeypatch.setattr("rgmkit.training.loop.measure_held_out", lambda run: {"held_out_psnr": next(measured)})
    out = rgmkit.train(MEANS, out=tmp_path / "run", progress=False)
    with (out / "losses.csv").open() as table:
        rows = {row["step"]: row["held_out_psnr"] for row in csv.DictReader(table)}
    assert rows == {"2": "20.5", "4": "21.5"}
    assert describe(out)["facts"]["held_out_psnr"] > 0 and describe(out)["facts"]["training images"] == 1495
    sheet = rgmkit.images.read(out / "samples" / "step-00000004.png").x
    assert sheet.shape[-2:] == (3 * 66 + 2, 5 * 66 + 2)  # degraded, restored and true images, four times as large


def test_the_psnr_is_that_of_the_restorations(monkeypatch):
    run = set_up(read_configuration(MEANS), ProcessGroup(torch.device("cpu")))
    near = SimpleNamespace(error=0.1)
    monkeypatch.setattr(preview, "_restore_held_out", lambda prior, x, level: (x, x + near.error / level, x))
    assert preview.measure_held_out(run)["held_out_psnr"] == pytest.approx((20 + 26.02) / 2, abs=0.01)
    monkeypatch.undo()
    before = preview.measure_held_out(run)
    assert before == preview.measure_held_out(run)  # with the same noise each time


@pytest.mark.parametrize("change, size", [({}, (5, 3)), (GAN, (8, 8))])
def test_a_sheet_has_three_rows_of_held_out_images_or_samples_in_a_square(tmp_path, change, size):
    run = set_up(read_configuration({**MEANS, **change}), ProcessGroup(torch.device("cpu")))
    if change:
        preview.write_preview(run, tmp_path, is_stopped=lambda: True)
        assert not list(tmp_path.iterdir())
    preview.write_preview(run, tmp_path, is_stopped=lambda: False)
    (sheet,) = tmp_path.rglob("*.png")
    assert Image.open(sheet).size == tuple(66 * n + 2 for n in size)  # of images of 64 pixels, with gaps of 2


def test_levels_are_left_out_of_previews_where_there_are_more_than_50():
    samplers = [preview.choose_sampler(SimpleNamespace(process=GaussianProcess(levels=n))) for n in (50, 51)]
    assert samplers == ["cascade", "cascade:levels=50,eta=0"]


def test_losses_of_before_are_kept_when_a_run_is_resumed(tmp_path):
    out = rgmkit.train(MEANS, out=tmp_path / "run", progress=False, overrides=["training.checkpoint_every=2"])
    table = out / "losses.csv"
    lines = [line.rpartition(",")[0] for line in table.read_text().splitlines()]
    table.write_text("\n".join([*lines, ""]))
    (out / "checkpoints" / "step-00000004.pt").unlink()
    rgmkit.train(MEANS, out=out, resume=True, progress=False)
    assert load_last(out)["step"] == 4
    assert [line.split(",")[0] for line in table.read_text().splitlines()] == ["step", "2", "4"]
