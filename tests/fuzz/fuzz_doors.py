"""The doors of rgmkit: for each a strategy of inputs, and what is done with one."""

from __future__ import annotations

import contextlib
import io
import itertools
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzz_inputs as inputs
import hypothesis.strategies as st
import numpy as np
import safetensors.torch
import tifffile
import torch
from PIL import Image

import rgmkit
from rgmkit import images, models
from rgmkit.cli.app import main
from rgmkit.config import build, load_yaml, read_yaml
from rgmkit.core.random import seeded
from rgmkit.errors import RgmkitError
from rgmkit.experiments import run
from rgmkit.experiments.pipeline import write as write_run
from rgmkit.experiments.plan import make_plan
from rgmkit.experiments.results import read_results
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.configuration import read_configuration
from rgmkit.training.rehearsal import rehearse
from rgmkit.training.setup import set_up

ROOT = Path(__file__).parents[2]
SHAPES = [(1, 1, 12, 16), (1, 3, 16, 16), (2, 1, 9, 7), (1, 3, 1, 1)]
_count = itertools.count()


@dataclass(frozen=True)
class Door:
    """A kind of input: its strategy, what is done with an input, and its share of all inputs."""

    name: str
    inputs: st.SearchStrategy[Any]
    act: Callable[[Any], Any]
    share: float = 1.0


def make_doors(folder: Path) -> list[Door]:
    """Make all doors; `folder` takes the files."""
    picture = st.sampled_from(SHAPES).map(lambda shape: torch.rand(shape, generator=seeded(0)))
    (folder / "pictures").mkdir()
    images.write(folder / "pictures" / "a.png", torch.rand(3, 16, 16, generator=seeded(0)))
    (folder / "grid.yaml").write_text(GRID)
    (folder / "weights.pth").write_bytes(_weights()[0])
    run(load_yaml(SMALL_GRID), out=folder / "run", progress=False)
    shutil.copytree(folder / "run", folder / "copy")
    return [
        Door("degradations", st.tuples(inputs.specs("degradation"), picture), _degrade, 2),
        Door("noise models", st.tuples(inputs.specs("noise"), picture), _add_noise),
        Door("restorations", st.tuples(inputs.specs("prior"), inputs.specs("solver"), picture), _restore, 2),
        Door("generations", inputs.specs("solver"), lambda solver: rgmkit.generate("digits", 2, solver=solver)),
        Door("forward processes", inputs.specs("process"), _process),
        Door("networks", inputs.specs("network"), _network),
        Door("objectives", inputs.specs("objective"), lambda spec: build("objective", spec), 0.5),
        Door("metrics", inputs.specs("metric"), _metric, 0.5),
        Door("data sets", inputs.specs("data"), _data, 0.5),
        Door("arrays", _arrays(), _restore_array),
        Door(
            "trainings (YAML)",
            inputs.documents([load_yaml(text) for text in TRAININGS.split("---")]),
            lambda text: _train(folder, text),
        ),
        Door("experiments (YAML)", inputs.documents(_read_all(GRID)), lambda text: _plan(folder, text)),
        Door("picture files", inputs.damaged_bytes(_pictures()), lambda data: _read(folder, data), 3),
        Door("giants, by crops", inputs.damaged_bytes(_giants()), lambda data: _read_crops(folder, data)),
        Door("archives and arrays", inputs.damaged_bytes(_archives(folder)), lambda data: _read_data(folder, data)),
        Door("model folders", _models(), lambda given: _load(folder, *given)),
        Door("weights files", inputs.damaged_bytes(_weights()), lambda data: _load_weights(folder, data)),
        Door("folders of runs", _runs(folder), lambda given: _report(folder, *given), 0.5),
        Door("command lines", draw_commands(), lambda words: _command(folder, words), 2),
    ]


def _degrade(given: Any) -> torch.Tensor:
    spec, x = given
    return build("degradation", spec)(x, generator=seeded(0))


def _add_noise(given: Any) -> torch.Tensor:
    spec, x = given
    return build("degradation", {"use": "gaussian-noise", "noise": spec})(x, generator=seeded(0))


def _restore(given: Any) -> torch.Tensor:
    prior, solver, y = given
    return rgmkit.restore(y, "blur:std=1,noise=0.1", prior, solver=solver).x


def _process(spec: Any) -> torch.Tensor:
    process = build("process", spec)
    return process.degrade(torch.rand(2, 1, 16, 16) * 2 - 1, torch.tensor([1, process.levels]), generator=seeded(0))


def _network(spec: Any) -> torch.Tensor:
    process = build("process", "gaussian:levels=4")
    models.build.check_size(spec, process=process, image_shape=(1, 16, 16))
    network = build("network", spec, process=process, image_shape=(1, 16, 16))
    try:
        return network(torch.rand(2, 1, 16, 16), torch.tensor([1, 2]), torch.rand(2, getattr(network, "latent", 0)))
    except Exception:  # of a network of points, or a critic: a rehearsal says so
        return torch.zeros(1)


def _metric(spec: Any) -> Any:
    metric = build("metric", spec)
    x = torch.rand(2, 3, 32, 32, generator=seeded(0))
    return metric(0.9 * x, x) if metric.needs_truth else metric(x, None)


def _data(spec: Any) -> torch.Tensor:
    return build("data", spec).batch(2, seed=0, step=0)


def _arrays() -> st.SearchStrategy[Any]:
    shapes = st.lists(st.integers(0, 12), max_size=5).map(tuple)
    kinds = st.sampled_from(["f4", "f8", "u1", "u2", "i4", "i8", ">f4", "c8", "?", "U3", "O", "f2", "M8[s]", "V4"])
    fills = st.sampled_from([0, 1, -1, 1e300, np.nan, np.inf, 255, 4095])
    options = st.fixed_dictionaries({}, optional={
        "axes": st.one_of(st.sampled_from(["YX", "CYX", "ZYX", "YXC", "XX", "", "Q", "TZCYX"]), inputs.HOSTILE),
        "range": st.one_of(st.sampled_from([(0, 255), (1, 0), (0, 0), (-1, 1)]), inputs.HOSTILE),
        "seed": inputs.values(int), "tile": inputs.values(int),
        "samples": inputs.values(int | None),
    })  # fmt: skip
    return st.tuples(shapes, kinds, fills, st.booleans(), options)


def _restore_array(given: Any) -> Any:
    shape, kind, fill, tensor, options = given
    with np.errstate(all="ignore"):
        try:
            y: Any = np.full(shape, fill).astype(kind)
            y = torch.from_numpy(y) if tensor else y
        except (TypeError, ValueError, OverflowError):
            return None
    try:
        x = rgmkit.restore(y, "gaussian-noise", "tv", **options).x
    except TypeError as error:
        if "cannot be interpreted as an integer" not in str(error):
            raise
        raise RgmkitError(str(error)) from error  # the usual words for an argument of another type
    return torch.as_tensor(np.asarray(x, dtype=np.float64)) if np.asarray(x).dtype.kind in "fiu" else None


def _read_all(text: str) -> list[dict[str, Any]]:
    return [load_yaml(part) for part in text.split("---")]


TRAININGS = """
data: digits
network: {use: unet, width: 8, blocks: 1}
critic: {use: unet-discriminator, width: 8}
process: {use: gaussian, levels: 3}
seed: 0
training: {batch: 4, lr: 0.001, betas: [0.5, 0.9]}
---
data: gmm
network: mlp
objective: {use: relativistic, gamma: 1.0}
training: {batch: 4}
---
data: {use: folder, path: pictures, size: 8}
network: {use: unet, width: 8, blocks: 1}
objective: mmse
process: {use: severity, degradation: {use: blur, std: 1.0}, levels: 3}
training: {batch: 4}
"""


def _train(folder: Path, text: str) -> None:
    (folder / "train.yaml").write_text(text, errors="surrogatepass")
    configuration = read_configuration(folder / "train.yaml")
    with torch.no_grad():
        rehearse(set_up(configuration, ProcessGroup(torch.device("cpu"))))


GRID = """
data: {skimage: [camera], crop: 16, limit: 1}
seeds: [0, 1]
title: a title
metrics: [psnr, ssim]
degradation: [{use: blur, std: 2.0, noise: 0.02}, 'gaussian-noise:noise=0.1']
method:
- {name: TV, prior: {use: tv, weight: 1.0}, solver: pgd, tune: {prior.weight: [0.1, 10]}}
- {prior: digits}
tune: {data: {skimage: coins, crop: 16}, metric: psnr, evaluations: 5}
"""
SMALL_GRID = """
data: {skimage: camera, crop: 16}
degradation: gaussian-noise:noise=0.1
method: {prior: tv, solver: 'pgd:iterations=2', tune: {prior.weight: [0.1, 10]}}
tune: {data: {skimage: coins, crop: 16}, metric: psnr, evaluations: 5}
"""


def _plan(folder: Path, text: str) -> None:
    (folder / "grid.yaml").write_text(text, errors="surrogatepass")
    make_plan(folder / "grid.yaml", out=folder / "out")


def _pictures() -> list[bytes]:
    array = (np.random.default_rng(0).random((9, 12, 4)) * 255).astype(np.uint8)
    made = []
    colour, grey = array[..., :3], array[..., 0]
    for kind, pixels in itertools.product(("PNG", "TIFF", "GIF", "WEBP", "BMP", "PPM"), (grey, colour, array)):
        made.append(_save(pixels, kind))
    made += [_save(colour, "JPEG"), _save(colour, "JPEG2000"), _save(grey > 99, "PNG")]
    made += [_save(colour, "TIFF", compression="tiff_lzw"), _save(grey, "TIFF", compression="tiff_deflate")]
    shapes = {"a.png": (3, 9, 12), "b.tif": (2, 5, 9, 12), "c.npy": (1, 9, 12)}
    for name, x in ((name, torch.rand(shape)) for name, shape in shapes.items()):
        path = Path(name)
        images.write(path, images.Picture(x, bits=16))
        made.append(path.read_bytes())
    return [data for data in made if data]


def _save(array: np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        Image.fromarray(array).save(buffer, kind, **options)
    except (OSError, ValueError, KeyError):  # not of this kind
        return b""
    return buffer.getvalue()


def _read(folder: Path, data: bytes) -> torch.Tensor:
    (folder / "a.png").write_bytes(data)
    return images.read(folder / "a.png").x


def _giants() -> list[bytes]:
    """TIFF files of more pixels than `_read_crops` decodes."""
    array = (np.random.default_rng(0).random((40, 48, 3)) * 255).astype(np.uint8)
    tiles, files = {"tile": (16, 16), "compression": "zlib"}, [io.BytesIO() for _ in range(4)]
    tifffile.imwrite(files[0], array, photometric="rgb", **tiles, predictor=True)
    tifffile.imwrite(files[1], array[..., 0].astype(np.uint16) * 257, **tiles)
    tifffile.imwrite(files[2], array, photometric="rgb")
    tifffile.imwrite(files[3], array[..., 0] / np.float32(255), rowsperstrip=8, compression="zlib")
    return [file.getvalue() for file in files]


def _read_crops(folder: Path, data: bytes) -> torch.Tensor:
    (folder / "giants").mkdir(exist_ok=True)
    (folder / "giants" / "a.tif").write_bytes(data)
    spec = {"use": "folder", "path": "giants", "size": 4, "crop": "random", "max_pixels": 1000}
    return build("data", spec).batch(3, seed=0, step=0)


def _archives(folder: Path) -> list[bytes]:
    archive, arrays, packed = io.BytesIO(), io.BytesIO(), io.BytesIO()
    for mode, buffer in (("w", archive), ("w:gz", packed)):
        with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
            tar.add(folder / "pictures" / "a.png", "a.png")
            tar.add(folder / "pictures" / "a.png", f"{'b' * 120}.png")
    np.savez_compressed(arrays, images=np.zeros((5, 8, 8, 3), np.uint8))
    single = io.BytesIO()
    np.save(single, np.zeros((5, 8, 8), np.float32))
    return [archive.getvalue(), packed.getvalue(), arrays.getvalue(), single.getvalue()]


def _read_data(folder: Path, data: bytes) -> torch.Tensor:
    (folder / "data").write_bytes(data)
    tar = not data.startswith((b"PK", b"\x93"))
    spec = {"use": "archive", "path": "data", "size": 8} if tar else {"use": "npz", "path": "data"}
    return build("data", spec).batch(2, seed=0, step=0)


def _models() -> st.SearchStrategy[Any]:
    source = models.locate("digits")
    weights = inputs.damaged_bytes([(source / "model.safetensors").read_bytes()])
    card = inputs.damaged_bytes([(source / "README.md").read_bytes()])
    config = inputs.documents([read_yaml(source / "config.yaml")]).map(lambda text: text.encode(errors="surrogatepass"))
    files = {"model.safetensors": weights, "README.md": card, "config.yaml": config}
    return st.sampled_from(["config.yaml", *files]).flatmap(lambda name: st.tuples(st.just(name), files[name]))


def _load(folder: Path, name: str, data: bytes) -> torch.Tensor:
    model = folder / "model"
    shutil.copytree(models.locate("digits"), model, dirs_exist_ok=True)
    (model / name).write_bytes(data)
    models.describe(model)
    return rgmkit.generate(rgmkit.load(model), 1)


def _weights() -> list[bytes]:
    """Weights of a small DnCNN as PyTorch, safetensors and NumPy store them."""
    widths = [1, *[8] * 7, 1]
    layers = [(torch.zeros(b, a, 3, 3), torch.zeros(b)) for a, b in itertools.pairwise(widths)]
    state = {
        f"model.{2 * i}.{name}": x
        for i, pair in enumerate(layers)
        for name, x in zip(("weight", "bias"), pair, strict=True)
    }
    pickled, arrays = io.BytesIO(), io.BytesIO()
    torch.save(state, pickled)
    np.savez(arrays, **{f"{k}{i}": x.numpy() for i, pair in enumerate(layers) for k, x in zip("wb", pair, strict=True)})
    return [pickled.getvalue(), safetensors.torch.save(state), arrays.getvalue()]


def _load_weights(folder: Path, data: bytes) -> torch.Tensor:
    ending = "pth" if data.startswith(b"PK") and b".npy" not in data else "npz" if b".npy" in data else "safetensors"
    (folder / f"dncnn_25.{ending}").write_bytes(data)
    prior = rgmkit.load(folder / f"dncnn_25.{ending}")
    return rgmkit.restore(torch.rand(1, 1, 8, 8, generator=seeded(0)), "gaussian-noise:noise=0.1", prior).x


def _runs(folder: Path) -> st.SearchStrategy[Any]:
    files = sorted(path for path in (folder / "run").rglob("*") if path.suffix in (".json", ".yaml", ".csv", ".png"))
    return st.sampled_from(files).flatmap(
        lambda file: st.tuples(st.just(file.relative_to(folder / "run")), inputs.damaged_bytes([file.read_bytes()]))
    )


def _report(folder: Path, name: Path, data: bytes) -> None:
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder / "run", copy)
    (copy / name).write_bytes(data)
    make_plan(load_yaml(SMALL_GRID), out=copy)
    write_run(read_results(copy))


COMMANDS = """
degrade pictures/a.png -d blur:std=1,noise=0.02 -o y.png --seed 1
restore pictures/a.png -d gaussian-noise --noise 0.1 --prior tv -o x.png --solver pgd
generate digits -n 2 -o samples.png --batch 2
info digits --json
plugins show blur
report copy
run grid.yaml -o out --dry-run
train --preset small --data digits --write new.yaml --set seed=1
convert weights.pth -o converted --process gaussian:levels=4 --image-size 16
evaluate digits --data digits --count 50 --features digits --reference 50
"""
LONG = {"train": "--write", "evaluate": "--count"}  # commands that take minutes without an option
SAMPLES = {line.split()[0]: line.split()[1:] for line in COMMANDS.strip().splitlines()}


def draw_commands() -> st.SearchStrategy[list[str]]:
    """Draw command lines, none of which asks for minutes of honest work."""
    return inputs.command_lines(SAMPLES).filter(lambda words: LONG.get(words[0], words[0]) in words)


def _command(folder: Path, words: list[str]) -> None:
    for name in ("y.png", "x.png", "samples.png", "new.yaml"):
        (folder / name).unlink(missing_ok=True)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            main(words)
    except SystemExit as end:
        if end.code == 2:
            lines = [line for line in said.getvalue().splitlines() if not line.startswith(("note: ", "warning: "))]
            raise RgmkitError("\n".join(lines)) from None
        if end.code not in (0, 1, None):
            raise
