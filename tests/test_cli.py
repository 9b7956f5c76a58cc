from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import torch

import rgmkit
from rgmkit import images
from rgmkit.cli.app import cli
from rgmkit.cli.reference import _walk, reference

DOCS = Path(__file__).parents[1] / "docs"
TINY = {"use": "unet", "width": 8, "multipliers": [1, 2], "blocks": 1, "latent": 2}
QUICK = {"steps": 2, "batch": 4, "preview_every": 0}
OPS = """
import rgmkit

class Half(rgmkit.Degradation):
    "Half as bright."
    def A(self, x):
        return x / 2

@rgmkit.hookimpl
def rgmkit_components():
    return [rgmkit.Component("degradation", "cli-half", Half, "Half as bright")]
"""


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    """A grey picture of 15 x 22 pixels."""
    path = tmp_path_factory.mktemp("pictures") / "photo.png"
    images.write(path, torch.linspace(0, 1, 15 * 22).reshape(1, 15, 22))
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder with the models `digits` and `points`, hardly trained."""
    folder = tmp_path_factory.mktemp("models")
    rgmkit.train({"data": "digits", "network": TINY, "training": QUICK}, out=folder / "digits", progress=False)
    rgmkit.train({"data": "gmm", "network": "mlp", "training": QUICK}, out=folder / "points", progress=False)
    return folder


def test_help_of_every_command_has_examples():
    for path, command in _walk(cli, "rgmkit"):
        assert command.epilog and f"  {path}" in command.epilog, path
        options = {name for option in command.params if isinstance(option, click.Option) for name in option.opts}
        assert {"--debug", "--plugin"} <= options, path
        assert all(option.help for option in command.params if isinstance(option, click.Option)), path


def test_reference_is_current():
    written = (DOCS / "command-line.md").read_text(encoding="utf-8")
    assert written == reference(), "run: python -m rgmkit.cli.reference docs/command-line.md"


def test_no_arguments_and_version(run):
    assert "Commands:" in run().out
    assert run("--version").out == f"rgmkit {rgmkit.__version__}\n"


def content(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def bad(tmp_path, models, photo) -> dict[str, Path]:
    """Files that cannot be used."""
    text = tmp_path / "text.png"
    text.write_text("not an image")
    nan = tmp_path / "nan.npy"
    np.save(nan, np.full((8, 8), np.nan, np.float32))
    small = tmp_path / "small.npy"
    np.save(small, np.zeros((2, 2), np.float32))
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "config.yaml").write_text((models / "digits" / "config.yaml").read_text())
    (cut / "model.safetensors").write_bytes((models / "digits" / "model.safetensors").read_bytes()[:1000])
    empty = tmp_path / "empty"
    empty.mkdir()
    hollow = tmp_path / "hollow"
    hollow.mkdir()
    (hollow / "config.yaml").write_text((cut / "config.yaml").read_text())
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "config.yaml").write_text((cut / "config.yaml").read_text().replace("width: 8", "width: 16"))
    (mixed / "model.safetensors").write_bytes((models / "digits" / "model.safetensors").read_bytes())
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.yaml").write_text("images: 3\n")
    (broken / "model.safetensors").write_bytes((mixed / "model.safetensors").read_bytes())
    half = tmp_path / "half.png"
    half.write_bytes(photo.read_bytes()[:-60])
    colour, deep = tmp_path / "colour.png", tmp_path / "deep.npy"
    images.write(colour, torch.zeros(3, 8, 8))
    np.save(deep, np.zeros((1, 5, 8, 8), np.float32))
    folder = tmp_path / "folder.png"
    folder.mkdir()
    return {
        "text": text, "nan": nan, "small": small, "cut": cut, "empty": empty, "hollow": hollow, "mixed": mixed,
        "broken": broken, "half": half, "colour": colour, "deep": deep, "folder": folder,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("degrade PHOTO -d gausian-noise -o OUT", "the nearest is 'gaussian-noise'"),
        ("degrade PHOTO -d blur:stdd=2 -o OUT", "did you mean 'std'"),
        ("degrade PHOTO -d blur:std=wide -o OUT", "degradation.std is 'wide': give a number"),
        ("degrade PHOTO -d blur:std -o OUT", "key=value"),
        ("degrade PHOTO -d gaussian-noise:noise=-1 -o OUT", "give a standard deviation of 0 or more"),
        ("degrade none.png -d blur -o OUT", "none.png does not exist"),
        ("degrade TEXT -d blur -o OUT", "not a picture"),
        ("degrade NAN -d blur -o OUT", "NaN"),
        ("degrade SMALL -d downsample:factor=3 -o OUT", "factor 3 is larger than a side"),
        ("degrade HALF -d blur -o OUT", "cut off or damaged"),
        ("degrade DEEP -d blur -o OUT", "holds an array of shape (1, 5, 8, 8)"),
        ("degrade FOLDER -d blur -o OUT", "is a folder: give the path of one picture"),
        ("degrade PHOTO -d blur:std=6,boundary=valid -o OUT", "use a smaller kernel"),
        ("degrade PHOTO -d blur -o OUT.gif", "ending '.gif'"),
        ("degrade PHOTO -d blur -o FOLDER", "is a folder: name a file in it"),
        ("degrade PHOTO -d blur -o TEXT/a.png", "is a file, not a folder"),
        ("degrade PHOTO -d blur -o SEALED/new/a.png", "cannot be written to"),
        ("degrade PHOTO -d blur -o OUT --device qpu", "device is 'qpu', which is not available here"),
        ("degrade PHOTO -d blur -o OUT --plugin none.py", "no plugin file"),
        ("degrade PHOTO -d blur -o OUT --plugin TEXT", "give a .py file"),
        ("degrade PHOTO -d blur -o OUT --seed one", "'one' is not a valid integer"),
        ("degrade PHOTO -o OUT", "Missing option"),
        ("restore NAN -d blur --prior tv -o OUT", "NaN"),
        ("restore PHOTO -d blur --prior tvv -o OUT", "the nearest is 'tv'"),
        ("restore PHOTO -d blur --prior tv -o PHOTO", "is the picture itself: name another file with -o"),
        ("degrade PHOTO -d blur -o PHOTO", "is the picture itself"),
        ("degrade PHOTO -d inpaint:mask=OUT -o OUT", "is the file of degradation.mask itself: name another file"),
        ("degrade PHOTO -d compose:of=['inpaint:mask=OUT'] -o OUT", "is the file of degradation.of[0].mask itself"),
        ("restore PHOTO -d blur --noise per-pixel:std=OUT --prior tv -o OUT", "is the file of noise.std itself"),
        (
            "restore PHOTO -d inpaint:mask=SEALED/../out-std.png --samples 2 -o OUT",
            "is the file of degradation.mask itself",
        ),
        ("restore y.npy -d blur --truth PHOTO -o PHOTO", "is the true image itself: name another file with -o"),
        ("restore PHOTO -d blur --prior tv --solver pgdd -o OUT", "the nearest is 'pgd'"),
        ("restore PHOTO -d blur --prior tv --solver cascade -o OUT", "needs a prior with restore"),
        ("restore PHOTO -d blur --prior ./none -o OUT", "./none is not a model folder"),
        ("restore PHOTO -d blur --prior CUT -o OUT", "cut"),
        ("restore PHOTO -d blur --prior EMPTY -o OUT", "config.yaml"),
        ("restore PHOTO -d blur --prior BROKEN -o OUT", "images is 3: give"),
        ("restore PHOTO -d blur --prior gan -o OUT", "a model folder"),
        ("restore PHOTO -d blur --prior tv:weight=-1 -o OUT", "weight is -1"),
        ("restore COLOUR -d blur --prior MODELS/points -o OUT", "trained on points of 2 values"),
        ("restore PHOTO -d blur --prior MODELS/digits -o OUT --tile many", "is not a valid integer"),
        ("restore PHOTO -d blur --prior tv -o OUT --tile 64", "TV is not a network: leave it out"),
        ("restore PHOTO -d blur --noise poisson:photons=-3 --prior tv -o OUT", "photons is -3"),
        ("restore PHOTO -d blur --noise -0.1 --prior tv -o OUT", "give a standard deviation of 0 or more"),
        ("restore PHOTO -d blur --noise per-pixel:std=none.npy --prior tv -o OUT", "none.npy"),
        ("restore PHOTO -d blur --noise per-pixel:std=DEEP --prior tv -o OUT", "give a std for each pixel"),
        ("restore PHOTO -d blur:noise=0.1 --noise 0.2 --prior tv -o OUT", "keep one of them"),
        ("degrade PHOTO -d blur --noise poisson -o OUT", "Poisson() has unknown parameters: give them"),
        ("restore PHOTO -d blur --prior tv -o OUT --tile 0", "not in the range"),
        (
            "restore DEEP -d downsample --prior MODELS/digits -o OUT",
            "stores one image with 1 or 3 channels: write it as .tif or .npy",
        ),
        ("restore PHOTO -d blur --prior MODELS/digits --solver cascade:start=9 -o OUT", "levels 1 to 4"),
        ("restore PHOTO -d blur --prior tv -o FOLDER", "is a folder: name a file in it"),
        ("restore PHOTO -d blur --prior tv -o OUT --truth none.png", "none.png does not exist"),
        ("restore PHOTO -d blur --prior tv -o OUT --truth COLOUR", "give the image that was measured"),
        ("restore PHOTO -d downsample --prior tv -o OUT --truth PHOTO", "measurement is of an image of shape"),
        ("generate CUT -o OUT", "cut"),
        ("generate HOLLOW -o OUT", "has no model.safetensors"),
        ("generate MIXED -o OUT", "copy both files of one model"),
        ("generate MODELS/digits -o OUT.jpg", "ending '.jpg'"),
        ("generate MODELS/digits -o FOLDER", "is a folder"),
        ("generate MODELS/digits -o SEALED/a.npz", "cannot be written to"),
        ("demo -o SEALED", "cannot be written to"),
        ("demo -o TEXT", "is a file"),
        ("demo -o CUT", "is not empty: name another folder with -o, or give --overwrite"),
        ("info CUT", "cut"),
        ("generate no-such-model -o OUT", "no-such-model"),
        ("generate MODELS/digits -n 0 -o OUT", "not in the range"),
        ("generate MODELS/digits --solver pnp-drs -o OUT", "cannot generate"),
        ("info no-such-model", "no-such-model"),
        ("train none.yaml", "none.yaml"),
        ("train TEXT", "text.png"),
        ("plugins show gausian-noise", "the nearest is 'gaussian-noise'"),
        ("restor PHOTO", "did you mean 'restore'"),
        ("plugins lst", "did you mean 'list'"),
        ("degrade PHOTO --colour red", "No such option"),
    ],
)
def test_bad_input_is_one_line_and_touches_nothing(args, message, run, bad, photo, models, tmp_path, monkeypatch):
    sealed, kept = tmp_path / "sealed", tmp_path / "out.png"
    sealed.mkdir()
    kept.write_bytes(b"of before")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != sealed and access(path, mode))  # for root, too
    names = {**bad, "photo": photo, "models": models, "out": kept, "sealed": sealed}
    for name, path in names.items():
        args = args.replace(name.upper(), str(path))
    before = content(tmp_path)
    ran = run(*args.split())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ") and ran.err.count("\n") == 1, ran.err
    assert message in ran.err
    assert content(tmp_path) == before


MISTAKES = [
    ("restore none.png -d blur --prior tv -o x.png", "none.png does not exist"),
    ("restore PHOTO -d blur --prior tv -o x.gif", "ending '.gif'"),
    ("restore PHOTO -d blur --prior tv -o PHOTO", "is the picture itself"),
    ("restore PHOTO -d blur --prior tv --truth none.png -o x.png", "none.png does not exist"),
    ("restore PHOTO -d blurr --prior tv -o x.png", "the nearest is 'blur'"),
    ("restore PHOTO -d blur: --prior tvv -o x.png", "the nearest is 'tv'"),
    ("restore PHOTO -d blur --noise poison --prior tv -o x.png", "the nearest is 'poisson'"),
    ("restore PHOTO -d blur --prior ./none -o x.png", "is not a model folder"),
    ("restore PHOTO -d blur --prior tv --solver pgdd:a=1 -o x.png", "the nearest is 'pgd'"),
    ("degrade none.png -d blur -o x.png", "none.png does not exist"),
    ("degrade PHOTO -d blur:std -o x.png", "key=value"),
    ("generate digitz -o x.png", "models: cifar10, digits"),
    ("generate digits -o x.gif", "ending '.gif'"),
    ("generate digits --solver cascada -o x.png", "the nearest is 'cascade'"),
    ("train none.yaml", "none.yaml"),
    ("train TRAINING", "the nearest is 'unet'"),
    ("train TRAINING --set network=unet --set process.use=gausian", "the nearest is 'gaussian'"),
    ("run none.yaml", "none.yaml"),
    ("run GRID", "degradation[1]: no degradation is named 'blurr'"),
    ("run GRID --set degradation.1=blur", "method[0]: no prior is named 'tvv'"),
    ("info none", "no model 'none'"),
    ("train --preset small --data EMPTY", "an argument is empty"),
    ("convert none.pth -o x --network unett", "the nearest is 'unet'"),
    ("demo -o PHOTO", "is a file"),
]
"""Commands with a mistake in the name of a file or a component, and what the error says."""

RUN_ALL = """
import json, sys
from rgmkit.cli import main
for args in json.load(sys.stdin):
    try:
        main(args)
    except SystemExit as exited:
        assert exited.code == 2, args
print("heavy:", {"torch", "deepinv", "numpy"} & set(sys.modules))
"""


def test_mistakes_in_names_are_found_before_torch_is_imported(photo, tmp_path):
    training, grid = tmp_path / "training.yaml", tmp_path / "grid.yaml"
    training.write_text("data: digits\nnetwork: {use: unett}\n")
    grid.write_text("data: {path: .}\ndegradation: [blur, blurr]\nmethod: {prior: tvv}\n")
    places = {"PHOTO": photo, "EMPTY": "", "TRAINING": training, "GRID": grid}
    commands = [[str(places.get(word, word)) for word in args.split()] for args, _ in MISTAKES]
    ran = subprocess.run(
        [sys.executable, "-c", RUN_ALL], input=json.dumps(commands), cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.stdout == "heavy: set()\n", ran.stderr
    for line, (args, message) in zip(ran.stderr.splitlines(), MISTAKES, strict=True):
        assert line.startswith("error: ") and message in line, args


@pytest.mark.slow
def test_network_restores_without_deepinv(photo, tmp_path):
    code = "import sys; from rgmkit.cli.app import cli; cli.main(standalone_mode=False); print(sorted(sys.modules))"
    args = ["restore", photo, "-d", "blur", "--prior", "digits", "--solver", "one-shot", "-o", tmp_path / "x.png"]
    ran = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, check=True)
    assert "'torch'" in ran.stdout and "'deepinv'" not in ran.stdout


@pytest.mark.parametrize("args", [["--debug", "info", "none"], ["info", "none", "--debug"]])
def test_debug_adds_the_traceback(args, run):
    ran = run(*args)
    assert ran.code == 2 and "Traceback" in ran.err and ran.err.splitlines()[-1].startswith("error: ")


def test_interruption_is_quiet(run, monkeypatch):
    class Half:
        def __del__(self) -> None:
            raise AttributeError("not made yet")

    def interrupted(*_: object) -> None:
        half = Half()
        raise KeyboardInterrupt(id(half))

    ignored: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)

    monkeypatch.setattr("rgmkit.plugins.list_components", interrupted)
    ran = run("plugins")
    assert ran.code == 130 and ran.err == "\ninterrupted\n" and not ran.out  # after ^C
    assert not ignored and sys.unraisablehook == ignored.append


def test_closed_pipe_is_quiet():
    with subprocess.Popen(
        [sys.executable, "-m", "rgmkit", "plugins"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""


def test_degrade_keeps_the_measurement_in_npy(run, photo, tmp_path):
    args = ("degrade", photo, "-d", "gaussian-noise:noise=0.2", "--seed", 5)
    first, second = tmp_path / "new" / "a.npy", tmp_path / "b.npy"
    assert run(*args, "-o", first) == (0, "", "")
    run(*args, "-o", second)
    assert first.read_bytes() == second.read_bytes()
    error = np.load(first) - images.read(photo).x[0, 0].numpy()
    assert abs(error.std() - 0.2) < 0.03
    noisy = rgmkit.degradation("gaussian-noise:noise=0.2")  # in Python: the same
    y = noisy(images.read(photo).x, generator=rgmkit.Streams(5, [0]))
    assert (y[0, 0].numpy() == np.load(first)).all()
    run("degrade", photo, "-d", "gaussian-noise:noise=0.2", "--seed", 6, "-o", second)
    assert first.read_bytes() != second.read_bytes()


def test_degrade_says_what_writing_and_cropping_change(run, photo, tmp_path):
    ran = run("degrade", photo, "-d", "downsample:factor=4,noise=0.5", "-o", tmp_path / "a.png")
    assert ran.code == 0 and not ran.out
    assert "cropped from 15x22 to 12x20" in ran.err and "clipped" in ran.err and "rounded" in ran.err
    assert images.read(tmp_path / "a.png").x.shape == (1, 1, 3, 5)


def test_components_of_a_file(run, photo, tmp_path):
    ops = tmp_path / "ops.py"
    ops.write_text(OPS)
    for args in (["--plugin", ops, "degrade", photo], ["degrade", photo, "--plugin", ops]):
        assert run(*args, "-d", "cli-half", "-o", tmp_path / "half.npy").code == 0
    assert np.allclose(np.load(tmp_path / "half.npy"), images.read(photo).x[0, 0].numpy() / 2)
    assert "ops.py" in run("plugins", "--plugin", ops).out


@pytest.mark.parametrize("prior", ["tv", "MODEL"])
def test_restore_reports_before_and_after(prior, run, photo, models, tmp_path):
    spec, measured, out = "downsample:factor=2,noise=0.02", tmp_path / "y.npy", tmp_path / "x.png"
    run("degrade", photo, "-d", spec, "-o", measured)
    args = ("restore", measured, "-d", spec, "--prior", prior.replace("MODEL", str(models / "digits")), "-o", out)
    ran = run(*args, "--truth", photo, "--json")
    facts = json.loads(ran.out)
    assert ran.code == 0 and facts["seconds"] >= 0 and facts["nfe"] == (0 if prior.startswith("tv") else facts["nfe"])
    truth, x = images.read(photo).crop(14, 22).x, images.read(out).x
    assert x.shape == truth.shape
    after = -10 * float((x - truth).square().mean().log10())
    assert facts["psnr"]["after"] == pytest.approx(after, abs=0.1)
    ran = run(*args, "--truth", photo)
    assert [line.split()[0] for line in ran.out.splitlines()] == ["PSNR", "SSIM", "NFE", "seconds"]
    first = out.read_bytes()
    assert run(*args).out.splitlines()[0].startswith("NFE")
    assert out.read_bytes() == first


def test_restore_prints_the_metrics_that_are_asked_for(run, photo, tmp_path):
    measured, out = tmp_path / "y.png", tmp_path / "x.png"
    run("degrade", photo, "-d", "gaussian-noise:noise=0.1", "-o", measured)
    args = ("restore", measured, "-d", "gaussian-noise", "-o", out, "--solver", "pinv")
    ran = run(*args, "--truth", photo, "--metric", "deepinv.MAE", "--metric", "psnr-y")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["MAE", "PSNR-Y", "NFE", "seconds"]
    assert ran.out.splitlines()[1].endswith(" dB")
    assert set(json.loads(run(*args, "--metric", "torchmetrics.TotalVariation", "--json").out)) >= {
        "torchmetrics.TotalVariation"
    }
    facts = json.loads(run(*args, "--truth", photo, "--metric", "deepinv.MAE", "--json").out)
    error = float((images.read(measured).x - images.read(photo).x).abs().mean())
    assert facts["deepinv.MAE"]["before"] == pytest.approx(error, rel=1e-6)  # not rounded
    ran = run(*args, "--metric", "psnr")
    assert ran.code == 2 and "metric 'psnr' compares with the true image: give it, too" in ran.err
    assert "no metric is named 'psrn', the nearest is 'psnr'" in run(*args, "--metric", "psrn").err


def test_measurement_that_is_no_picture(run, photo, tmp_path):
    ops = tmp_path / "stack.py"
    ops.write_text(
        OPS.replace("cli-half", "cli-stack").replace("return x / 2", "return x.repeat(1, 5, 1, 1)")
        + "Half.image_shape = lambda self, y: (y[0], y[1] // 5, *y[2:])\nHalf.embed = lambda self, y: y[:, :1]\n"
    )
    args = ("--plugin", ops, "-d", "cli-stack:noise=0.01")
    ran = run("degrade", photo, *args, "-o", tmp_path / "y.png")
    assert ran.code == 2 and "write it as .tif or .npy" in ran.err
    assert run("degrade", photo, *args, "-o", tmp_path / "y.npy").code == 0
    assert np.load(tmp_path / "y.npy").shape == (1, 5, 15, 22)
    restored = run("restore", tmp_path / "y.npy", *args, "--prior", "tikhonov", "-o", tmp_path / "x.png")
    assert restored.code == 0 and images.read(tmp_path / "x.png").x.shape == (1, 1, 15, 22)


def test_lost_colours_are_said_once(run, photo, tmp_path):
    args = ("-d", "grayscale:noise=0.01", "-o", tmp_path / "x.png")
    said = run("restore", photo, *args).err
    assert "note: Grayscale loses colours, and there is no prior" in said and "--prior photographs," in said
    assert said.count("loses colours") == 1 and "warning" not in said


def test_generated_images_depend_on_the_seed_only(run, models, tmp_path):
    first, second, more = (tmp_path / f"{name}.npz" for name in ("first", "second", "more"))
    run("generate", models / "digits", "-n", 5, "-o", first, "--seed", 1)
    run("generate", models / "digits", "-n", 5, "-o", second, "--seed", 1)
    assert first.read_bytes() == second.read_bytes()
    made = np.load(first)["images"]
    assert (made.shape, made.dtype) == ((5, 16, 16, 1), np.uint8)
    for batch in (1, 2):
        run("generate", models / "digits", "-n", 7, "-o", more, "--seed", 1, "--batch", batch)
        assert np.abs(np.load(more)["images"][:5].astype(int) - made).max() <= 1
    run("generate", models / "digits", "-n", 5, "-o", second, "--seed", 2)
    assert np.abs(np.load(second)["images"].astype(int) - made).max() > 1


def test_generated_sheet_and_points(run, models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("generate", models / "digits", "-n", 4) == (0, "", "written: samples.png\n")
    assert images.read("samples.png").x.shape[-1] > 2 * 16
    again = run("generate", models / "digits", "-n", 4)
    assert again.code == 2 and "samples.png already exists" in again.err
    assert run("generate", models / "points", "-n", 20, "-o", "p.npz").code == 0
    points = np.load("p.npz")["points"]
    assert (points.shape, points.dtype) == ((20, 2), np.float32)
    pytest.importorskip("matplotlib")
    for name in ("p.png", "q.png"):
        assert run("generate", models / "points", "-n", 20, "-o", name).code == 0
    assert Path("p.png").read_bytes() == Path("q.png").read_bytes()


def test_train_sets_options_and_refuses_a_full_folder(run, tmp_path):
    config = tmp_path / "gmm.yaml"
    config.write_text("data: gmm\nnetwork: mlp\nprocess: gaussian\ntraining: {steps: 1e6, preview_every: 0}\n")
    args = ("train", config, "-o", tmp_path / "model", "--device", "cpu")
    assert "training.steps is 1000000.0: give a whole number" in run(*args).err
    ran = run(*args, "--set", "training.steps=2", "--set", "process.levels=3")
    assert (ran.code, ran.out) == (0, f"{tmp_path / 'model'}\n")
    facts = json.loads(run("info", tmp_path / "model", "--json").out)
    assert facts["config"]["process"] == {"use": "gaussian", "levels": 3}
    assert facts["parameters"] == sum(p.numel() for p in rgmkit.load(tmp_path / "model").parameters())
    assert "levels" in run("info", tmp_path / "model").out
    assert run(*args, "--set", "training.steps=2").code == 2


def test_plugins_are_listed_and_shown(run):
    ran = run("plugins")
    listed = json.loads(run("plugins", "list", "--json").out)
    names = [component["name"] for component in listed["components"]]
    assert {"gaussian-noise", "cascade", "network", "tv", "digits"} <= set(names)
    assert listed["failures"] == [] and listed["clashes"] == [] and ran.err == ""
    assert all(name in ran.out for name in names) and max(map(len, ran.out.splitlines())) <= 80
    assert "  photographs-rgm  a restoration-based generative model" in ran.out
    shown = run("plugins", "show", "blur").out
    assert "kernel: 'gaussian', 'motion' or a file path; default gaussian" in shown
    (blur,) = json.loads(run("plugins", "show", "blur", "--json").out)["components"]
    assert blur["distribution"] == "rgmkit" and blur["version"] == rgmkit.__version__


def test_demo_writes_over_nothing(run, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    ran = run("demo", "-o", tmp_path)
    assert ran.code == 2 and "is not empty" in ran.err
    assert "is a file" in run("demo", "-o", tmp_path / "mine.txt").err
