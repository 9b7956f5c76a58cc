"""Small files that hold giants: refused from their headers, with the limit and how to raise it."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zipfile
import zlib
from functools import partial

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import rgmkit
from rgmkit.errors import ConfigError, DataError
from rgmkit.evaluation import evaluate
from rgmkit.experiments import run as run_grid
from rgmkit.images import limits, read, write
from rgmkit.runtime import memory
from rgmkit.training.data.archives import Archive
from rgmkit.training.data.files import Arrays, Folder
from rgmkit.training.data.named import HuggingFace, Torchvision

RAISE = r"no more than \d+ are read: if that is right, raise the limit with --max-pixels"


def png(width, height, depth=8, colour=2):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(10**6))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def saved(kind, **options):
    file = io.BytesIO()
    Image.new("L", (20000, 6000)).save(file, kind, **options)
    return file.getvalue()


BOMBS = {
    "png": lambda: png(60000, 60000),
    "png-16": lambda: png(60000, 60000, 16),
    "png-1": lambda: png(60000, 60000, 1, 0),
    "gif": lambda: saved("GIF"),
    "tiff": lambda: saved("TIFF", compression="tiff_deflate"),
    "tiff-1": lambda: tiff_of_bits(),
    "jpeg": lambda: saved("JPEG"),
}


def tiff_of_bits():
    file = io.BytesIO()
    Image.new("1", (20000, 6000)).save(file, "TIFF", compression="group4")
    return file.getvalue()


@pytest.mark.parametrize("kind", BOMBS)
def test_giants_are_refused_before_they_are_decoded(tmp_path, monkeypatch, kind):
    (tmp_path / "a").write_bytes(BOMBS[kind]())
    for name in ("asarray", "load"):
        monkeypatch.setattr(
            tifffile.TiffPageSeries if name == "asarray" else Image.Image, name, lambda *_: pytest.fail("decoded")
        )
    with pytest.raises(DataError, match=rf"a has (3600000000|120000000) pixels, and {RAISE}") as raised:
        read(tmp_path / "a")
    assert "\n" not in str(raised.value)


def save(path, frames=1, size=(12, 12)):
    write(path, torch.rand(frames, 1, *size) if path.suffix == ".tif" else torch.rand(3, *size))
    return path


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_the_limit_can_be_lowered_and_raised(tmp_path, monkeypatch, ending):
    file = save(tmp_path / f"a.{ending}")
    with pytest.raises(DataError, match=RAISE):
        read(file, max_pixels=143)
    assert read(file, max_pixels=144).x.shape[-2:] == (12, 12)
    monkeypatch.setenv("RGMKIT_MAX_PIXELS", "100")
    with pytest.raises(DataError, match=RAISE):
        read(file)
    monkeypatch.setenv("RGMKIT_MAX_PIXELS", "many")
    with pytest.raises(ConfigError, match="RGMKIT_MAX_PIXELS is 'many'"):
        read(file)


def test_all_frames_count(tmp_path):
    file = save(tmp_path / "a.tif", frames=5)
    with pytest.raises(DataError, match="has 720 pixels"):
        read(file, max_pixels=719)
    assert len(read(file, max_pixels=720).x) == 5


def test_a_picture_beyond_the_limit_of_pillow_is_read_if_it_is_allowed(tmp_path, monkeypatch):
    file = save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert read(file).x.shape == (1, 3, 12, 12) and Image.MAX_IMAGE_PIXELS == 10


def test_files_that_are_too_long_are_not_read(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DataError, match="1099511627776 bytes, too many for a picture of 100000000 pixels"):
        read(tmp_path / "a.png")
    file = tmp_path / "a.npy"
    np.save(file, np.zeros((8, 8)))
    file.write_bytes(file.read_bytes().replace(b"(8, 8), }       ", b"(8, 80000000000)}"))
    with pytest.raises(DataError, match="longer than the file"):
        read(file)


@pytest.mark.parametrize("command", ["degrade", "restore", "train", "run"])
def test_commands_take_the_limit(run, tmp_path, command):
    (tmp_path / "in").mkdir()
    file = save(tmp_path / "in" / "a.png")
    options = {
        "degrade": [file, "-d", "blur", "-o", tmp_path / "y.npy"],
        "restore": [file, "-d", "gaussian-noise:noise=0.1", "--prior", "tv", "-o", tmp_path / "y.npy"],
        "train": ["--preset", "small", "--data", tmp_path / "in", "-o", tmp_path / "model"],
        "run": [tmp_path / "grid.yaml", "-o", tmp_path / "out"],
    }
    (tmp_path / "grid.yaml").write_text("{data: {path: in}, degradation: gaussian-noise, method: {prior: tv}}")
    done = run(command, *options[command], "--max-pixels", "100")
    assert done.code == 2 and "has 144 pixels, and no more than 100 are read" in done.err, done.err
    assert "RGMKIT_MAX_PIXELS" not in os.environ
    assert not (tmp_path / "y.npy").exists()


def test_data_sets_of_libraries_take_the_limit(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    folder = tmp_path / "in"
    (folder / "a").mkdir(parents=True)
    save(folder / "a" / "a.png")
    options = {"data_dir": str(folder), "cache_dir": str(tmp_path / "cache")}
    one = torch.zeros(1, dtype=torch.int64)
    for load in (
        partial(Torchvision, name="ImageFolder", root=folder, size=8),
        partial(HuggingFace, name="imagefolder", options=options, size=8),
    ):
        with pytest.raises(DataError, match=RAISE):
            load(max_pixels=143).take(one, torch.Generator())
        assert load(max_pixels=144).take(one, torch.Generator()).shape == (1, 3, 8, 8)


def test_configurations_take_the_limit(tmp_path):
    (tmp_path / "in").mkdir()
    save(tmp_path / "in" / "a.png")
    with pytest.raises(DataError, match=RAISE):
        Folder(path=tmp_path / "in", size=8, max_pixels=100)
    assert len(Folder(path=tmp_path / "in", size=8, max_pixels=144)) == 1
    grid = {
        "data": {"path": str(tmp_path / "in"), "max_pixels": 100},
        "degradation": "gaussian-noise:noise=0.1",
        "method": [{"prior": "tv"}],
    }
    with pytest.raises(DataError, match=RAISE):
        run_grid(grid, out=tmp_path / "out", progress=False)


def test_arrays_that_are_compressed_as_only_bombs_are(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((200, 64, 64), np.uint8))
    assert len(Arrays(path=tmp_path / "a.npz")) == 200
    monkeypatch.setenv("RGMKIT_MAX_PIXELS", "10000")
    with pytest.raises(DataError, match=r"a.npz.* holds 819328 bytes in \d+, more than pictures of 10000 pixels"):
        Arrays(path=tmp_path / "a.npz")
    monkeypatch.setattr(memory, "free_memory", lambda device: 10**5)
    with pytest.raises(DataError, match="GiB are free"):
        Arrays(path=tmp_path / "a.npz")
    assert zipfile.is_zipfile(tmp_path / "a.npz")


def test_archives_with_giant_names_or_compressed_giants(tmp_path, monkeypatch):
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 2**30
    (tmp_path / "a.tar").write_bytes(name.tobuf() + b"x" * 2048)
    with pytest.raises(DataError, match="a name in it has 1073741824 bytes"):
        Archive(path=tmp_path / "a.tar", size=8)
    monkeypatch.setattr(limits, "MAX_PIXELS", 10**5)
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(bytes(2**23)))
    with pytest.raises(DataError, match=r"b.tar.gz.* holds 2097152 bytes in \d+"):
        Archive(path=tmp_path / "b.tar.gz", size=8)


@pytest.mark.parametrize(
    "change",
    [{"training": {"batch": 10**11}}, {"network": "mlp:width=1000000"}, {"network": "mlp:width=1000000000"}],
)
def test_trainings_that_no_memory_holds(tmp_path, change):
    config = {"data": "gmm", "network": "mlp", "training": {"steps": 1}, **change}
    with pytest.raises(DataError, match="GiB are free"):
        rgmkit.train(config, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_more_generated_images_than_the_memory_holds_features_of():
    with pytest.raises(DataError, match=r"features of images take .* GiB are free"):
        evaluate("digits", "digits", features="digits", count=10**12, reference=50, restored=0, progress=False)
