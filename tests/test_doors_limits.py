"""Small files that hold giants: refused from their headers, with the limit and how to raise it."""

from __future__ import annotations

import gzip
import io
import lzma
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
from rgmkit.training import preset
from rgmkit.training.data.archives import Archive, Shards
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


def values(*shape, dtype=np.uint8):
    drawn = np.random.default_rng(0).random(shape)
    return drawn.astype(dtype) if np.dtype(dtype).kind == "f" else (drawn * np.iinfo(dtype).max).astype(dtype)


RGB, TILES = {"photometric": "rgb"}, {"tile": (16, 32), "compression": "zlib"}
GIANTS = {
    "tiles": (values(60, 90, 3), RGB | TILES | {"predictor": True}),
    "tiles of 16 bits, turned": (values(60, 90, dtype=np.uint16), TILES | {"extratags": [(274, 3, 1, 6, True)]}),
    "planes": (values(3, 60, 90), RGB | TILES | {"planarconfig": "separate"}),
    "strips, white is 0": (values(60, 90), {"photometric": "miniswhite", "compression": "zlib", "rowsperstrip": 7}),
    "uncompressed, big-endian": (values(60, 90, dtype=np.uint16), {"byteorder": ">"}),
    "transparent": (values(60, 90, 4, dtype=np.uint16), RGB | TILES | {"extrasamples": ["assocalpha"]}),
    "floats": (values(60, 90, 3, dtype=np.float32), RGB | {"tile": (32, 32)}),
    "frames": (values(3, 60, 90, 3), RGB | TILES),
}


@pytest.mark.parametrize("crop", ["random", "centre"])
@pytest.mark.parametrize("kind", GIANTS)
def test_crops_of_a_giant_are_those_of_the_whole(tmp_path, kind, crop):
    array, options = GIANTS[kind]
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "a.tif", array, **options)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "in" / "a.tif", "a.tif")
    whole = Folder(path=tmp_path / "in", size=9, crop=crop).batch(20, seed=0, step=0)
    options = {"size": 9, "crop": crop, "max_pixels": 5000}  # of 5400
    for data in (
        Folder(path=tmp_path / "in", **options),
        Archive(path=tmp_path / "a.tar", **options),
        Shards(path=tmp_path / "a.tar", **options),
    ):
        assert torch.equal(data.batch(20, seed=0, step=0), whole)


def test_a_giant_in_a_compressed_archive(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", values(60, 90, 3), **RGB, **TILES)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "a.tif", "a.tif")
    data = Archive(path=tmp_path / "a.tar.gz", size=9, max_pixels=5000)
    assert torch.equal(data.batch(9, seed=0, step=0), Folder(path=tmp_path, size=9).batch(9, seed=0, step=0))
    data.tar._unpacked.close()


def test_only_the_tiles_under_a_crop_are_decoded(tmp_path):
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, values(64, 96), **TILES)
    whole = Folder(path=tmp_path, size=8).batch(1, seed=0, step=0)
    with tifffile.TiffFile(file) as tiff:  # 4 x 3 tiles, of which a centred crop needs those in the middle column
        places = [place for i, place in enumerate(tiff.pages[0].dataoffsets) if i % 3 != 1 and i > 0]
    with file.open("r+b") as damaged:
        for place in places:
            damaged.seek(place)
            damaged.write(b"damaged")
    assert torch.equal(Folder(path=tmp_path, size=8, max_pixels=6000).batch(1, seed=0, step=0), whole)


@pytest.mark.parametrize("compression", ["zlib", "lzma"])
def test_a_tile_that_expands_beyond_its_pixels_is_refused(tmp_path, monkeypatch, compression):
    monkeypatch.setattr("rgmkit.images.codecs.tiff.ROOM", 2**21)
    bomb = {"zlib": zlib, "lzma": lzma}[compression].compress(bytes(2**23))
    for pixels in (32, 64):  # read as a whole, and by crops
        tifffile.imwrite(
            tmp_path / "a.tif",
            iter([bomb] * 16),
            shape=(pixels, pixels),
            dtype=np.uint8,
            tile=(16, 16),
            compression=compression,
        )
        with pytest.raises(DataError, match="holds more than 2097152 bytes where its pixels have"):
            Folder(path=tmp_path, size=8, max_pixels=1024).batch(1, seed=0, step=0)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_giant_that_only_a_whole_decoder_reads_is_refused(tmp_path, ending):
    Image.fromarray(values(60, 90)).save(
        tmp_path / f"a.{ending}", **({"compression": "tiff_lzw"} if ending == "tif" else {})
    )
    with pytest.raises(
        DataError, match=r"has 5400 pixels, and no more than 5000 are read.*or save it as TIFF in tiles"
    ):
        Folder(path=tmp_path, size=8, max_pixels=5000)


def test_a_preset_sees_the_colours_of_giants(tmp_path, monkeypatch):
    monkeypatch.setenv("RGMKIT_MAX_PIXELS", "5000")
    tifffile.imwrite(tmp_path / "a.tif", values(60, 90, 3), **RGB, **TILES)
    assert preset("small", tmp_path)["data"]["channels"] == "rgb"
