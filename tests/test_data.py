"""Folders of pictures and arrays: what is drawn from them, and what is refused."""

from __future__ import annotations

import re
import tarfile
import warnings
from dataclasses import fields
from pathlib import Path
from threading import Event, current_thread, main_thread

import numpy as np
import pytest
import torch
from PIL import Image

import rgmkit
from rgmkit.config import build
from rgmkit.config.text import Spec, parse_spec
from rgmkit.core.random import seeded
from rgmkit.images import Picture, read, write
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.configuration import KEYS, read_configuration
from rgmkit.training.data.archives import Archive, Shards
from rgmkit.training.data.digits import Digits
from rgmkit.training.data.files import Arrays, Folder
from rgmkit.training.data.named import HuggingFace, Torchvision
from rgmkit.training.feed import Feed, count_workers
from rgmkit.training.settings import TrainingSettings
from rgmkit.training.setup import set_up

ROOT = Path(__file__).parents[1]
TINY = "network: {use: unet, width: 8, blocks: 1}\ntraining: {steps: 2, batch: 4, preview_every: 2}\n"


def plain(folder, count, *, channels=3, height=20, width=28):
    """Pictures of one grey value each, 1, 2, 3 … of 255; returns the folder."""
    for i in range(count):
        write(folder / f"{i:03}.png", torch.full((channels, height, width), (i + 1) / 255))
    return folder


def values(batch):
    return [int(value) for value in (batch[:, 0, 0, 0] * 255).round()]


def test_every_picture_once_per_epoch_in_the_order_of_the_names(tmp_path):
    for name, grey in [("b.TIFF", 2), ("a/z.jpeg", 1), ("c.Png", 3)]:
        write(tmp_path / name, torch.full((3, 18, 16), grey / 255))
    (tmp_path / "._c.png").write_bytes(b"of a file system")
    (tmp_path / "labels.csv").write_text("no picture")
    data = Folder(path=tmp_path, size=16)
    assert values(data.take(torch.arange(3), torch.Generator())) == [1, 2, 3]
    epochs = [values(data.batch(3, seed=0, step=step)) for step in range(8)]
    assert all(sorted(epoch) == [1, 2, 3] for epoch in epochs) and len({*map(tuple, epochs)}) > 1


def test_links_are_followed_and_those_that_lead_nowhere_are_broken_pictures(tmp_path):
    folder = plain(tmp_path / "pictures", 2)
    (folder / "more").symlink_to(plain(tmp_path / "elsewhere", 3), target_is_directory=True)
    (folder / "more.png").symlink_to(tmp_path / "elsewhere" / "000.png")
    (tmp_path / "elsewhere" / "up").symlink_to(folder, target_is_directory=True)  # and round again
    data = Folder(path=folder, size=16)
    names = [Path(data.name(i)).relative_to(folder).as_posix() for i in range(len(data))]
    assert names == ["000.png", "001.png", "more.png", "more/000.png", "more/001.png", "more/002.png"]
    (folder / "x.png").symlink_to("nowhere.png")
    with pytest.raises(rgmkit.DataError, match=r"1 of 7 pictures are broken.*x\.png does not exist"):
        Folder(path=folder, size=16)


def test_crops_are_parts_of_the_pictures_and_depend_on_seed_and_step_only(tmp_path):
    picture = torch.arange(20 * 12, dtype=torch.float32).view(1, 20, 12) / 255
    write(tmp_path / "a.png", picture)
    options = {"path": tmp_path, "size": 8, "channels": "grey", "crop": "random"}
    data = Folder(**options)
    batch = data.batch(200, seed=1, step=5)
    corner = (batch[:, 0, 0, 0] * 255).round().long()
    tops, lefts = corner // 12, corner % 12
    assert set(tops.tolist()) == set(range(13)) and set(lefts.tolist()) == set(range(5))
    for image, top, left in zip(batch, tops, lefts, strict=True):
        assert torch.allclose(image, picture[:, top : top + 8, left : left + 8])
    assert batch.equal(Folder(**options).batch(200, seed=1, step=5))
    assert not batch.equal(data.batch(200, seed=1, step=6)) and not batch.equal(data.batch(200, seed=2, step=5))
    centre = Folder(**{**options, "crop": "centre"}).batch(3, seed=0, step=0)
    assert torch.allclose(centre, picture[:, 6:14, 2:10].expand(3, 1, 8, 8))


@pytest.mark.parametrize("memory", [2**30, 0])
def test_the_same_with_and_without_room_for_the_pictures(tmp_path, monkeypatch, memory):
    plain(tmp_path, 5)
    whole = Folder(path=tmp_path, size=16, flip=True).batch(7, seed=3, step=2)
    monkeypatch.setattr("rgmkit.training.data.pictures.MEMORY", memory)
    data = Folder(path=tmp_path, size=16, flip=True)
    for _ in range(2):
        assert whole.equal(data.batch(7, seed=3, step=2))
    assert bool(data._cache) is bool(memory)


def test_flips_mirror_some_images(tmp_path):
    write(tmp_path / "ramp.png", torch.linspace(0, 1, 8).expand(1, 8, 8))
    firsts = Folder(path=tmp_path, size=8, channels="grey", flip=True).batch(32, seed=0, step=0)[:, 0, 0, 0]
    assert set(firsts.tolist()) == {0.0, 1.0}


def test_grey_and_colour_alpha_and_depth(tmp_path):
    write(tmp_path / "a.png", torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(3, 8, 8))
    write(tmp_path / "b.png", torch.full((1, 8, 8), 0.2))
    write(tmp_path / "c.tiff", Picture(torch.full((1, 3, 8, 8), 0.4), bits=32))  # floats, which Pillow cannot open
    rgba = read(tmp_path / "a.png")
    write(tmp_path / "d.png", Picture(rgba.x, alpha=torch.zeros(1, 1, 8, 8)))
    rgb = Folder(path=tmp_path, size=8).take(torch.arange(4), torch.Generator())
    assert rgb.shape == (4, 3, 8, 8) and rgb.dtype == torch.float32
    assert torch.allclose(rgb[:, :, 0, 0], torch.tensor([[1, 0, 0], [0.2] * 3, [0.4] * 3, [1, 0, 0]]))
    grey = Folder(path=tmp_path, size=8, channels="grey").take(torch.arange(4), torch.Generator())
    assert torch.allclose(grey[:, 0, 0, 0], torch.tensor([0.299, 0.2, 0.4, 0.299]), atol=2 / 255)


def test_broken_pictures_are_skipped_with_one_warning_up_to_one_percent(tmp_path):
    plain(tmp_path, 200, height=8, width=8)
    cut = (tmp_path / "006.png").read_bytes()[:45]  # its header is whole
    (tmp_path / "006.png").write_bytes(cut)
    (tmp_path / "007.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="broken pictures are skipped") as caught:
        data = Folder(path=tmp_path, size=8)
        seen = sorted(values(data.batch(200, seed=0, step=0)))
    assert len(caught) == 1 and "007.png" in str(caught[0].message)
    assert seen == sorted([*range(1, 7), *range(9, 201), 9, 9])  # the next whole one, twice
    (tmp_path / "100.png").write_bytes(cut)
    with warnings.catch_warnings(), pytest.raises(rgmkit.DataError, match="3 of 200 pictures are broken") as error:
        warnings.simplefilter("ignore")
        Folder(path=tmp_path, size=8).batch(200, seed=0, step=0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"path": "none"}, "none does not exist"),
        ({"path": "full/000.png"}, "is a file"),
        ({"path": "empty"}, "holds no pictures"),
        ({"path": "full", "size": 21}, "size 21: 3 of 3, .*.png with 28x20 pixels; give size 20 or less"),
        ({"path": "text"}, "1 of 1 pictures are broken"),
        ({"path": "floats"}, "from 0 to 255"),
    ],
)
def test_folders_that_do_not_fit(tmp_path, options, words):
    plain(tmp_path / "full", 3)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.jpg").write_text("text")
    write(tmp_path / "floats" / "a.tiff", Picture(torch.arange(256.0).view(1, 1, 16, 16), bits=32))
    with pytest.raises(rgmkit.DataError, match=words) as error:
        build("data", {"use": "folder", "size": 16, **options}, folder=tmp_path).batch(2, seed=0, step=0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6 * 9 * 8, dtype=np.uint8).reshape(6, 9, 8),
        np.arange(6 * 9 * 8 * 3, dtype=np.uint8).reshape(6, 9, 8, 3),
        (np.arange(6 * 9 * 8) * 100).astype(">u2").reshape(6, 9, 8, 1),
        np.linspace(0, 1, 6 * 9 * 8).reshape(6, 9, 8),
        np.linspace(0, 1, 6 * 9 * 8).astype(np.float16).reshape(6, 9, 8),
    ],
)
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_arrays(tmp_path, array, ending):
    path = tmp_path / f"a.{ending}"
    np.save(path, array) if ending == "npy" else np.savez(path, images=array)
    scale = {"u1": 255, "u2": 65535}.get(array.dtype.str[1:], 1)
    expected = torch.from_numpy(array.astype(np.float64) / scale).view(6, 9, 8, -1).movedim(-1, 1)
    data = Arrays(path=path)
    assert data.shape == expected.shape[1:]
    assert torch.allclose(data.take(torch.tensor([4, 0]), torch.Generator()), expected[[4, 0]].float())
    epoch = data.batch(6, seed=0, step=0)
    assert epoch.sort(0).values.equal(data.take(torch.arange(6), torch.Generator()).sort(0).values)


IMAGES = np.zeros((3, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "does not exist"),
        (b"", "cannot be read"),
        (b"text", "cannot be read"),
        ({"x": IMAGES, "y": IMAGES}, "no array 'images': give as key one of x, y"),
        ({"images": np.array([{"a": 1}], dtype=object)}, "never unpickled"),
        ({"images": IMAGES[0, 0]}, r"shape \(8, 3\)"),
        ({"images": IMAGES[:0]}, "shape"),
        ({"images": IMAGES.transpose(0, 3, 1, 2)}, "channels come last"),
        ({"images": IMAGES.astype(np.int64)}, "int64"),
        ({"images": IMAGES + np.float32(2)}, "from 2 to 2"),
        ({"images": IMAGES * np.float32("nan")}, "nan"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, content, words):
    path = tmp_path / "a.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    with pytest.raises(rgmkit.DataError, match=words) as error:
        Arrays(path=path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damaged_archives(tmp_path, damage):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8))
    data = bytearray(path.read_bytes())
    data[200:204] = b"\0\0\0\0"
    path.write_bytes(path.read_bytes()[:200] if damage == "cut" else data)
    with pytest.raises(rgmkit.DataError, match="cannot be read"):
        Arrays(path=path)


@pytest.mark.parametrize("data", ["{use: folder, path: ../pictures, size: 16, crop: random}", "npz:path=a.npz"])
def test_trained_on_by_a_path_relative_to_the_yaml(tmp_path, data):
    plain(tmp_path / "pictures", 6)
    (tmp_path / "configs").mkdir()
    np.savez(tmp_path / "configs" / "a.npz", images=np.zeros((5, 16, 16, 3), np.uint8))
    config = tmp_path / "configs" / "mine.yaml"
    config.write_text(f"data: {data}\n{TINY}")
    out = rgmkit.train(config, out=tmp_path / "out", progress=False)
    assert rgmkit.generate(rgmkit.load(out), 2).shape == (2, 3, 16, 16)
    assert rgmkit.models.folder.describe(out)["facts"]["images seen"] == 8


def test_the_template_trains_when_its_path_is_set(tmp_path):
    plain(tmp_path / "pictures", 3)
    small = ["data.size=16", "network.width=8", "critic.width=8", "training.steps=1", "training.batch=2"]
    overrides = [f"data.path={tmp_path / 'pictures'}", "training.precision=float32", *small]
    rgmkit.train(ROOT / "examples" / "folder.yaml", out=tmp_path / "out", overrides=overrides, progress=False)
    assert rgmkit.load(tmp_path / "out").image_shape == (3, 16, 16)


def test_every_key_of_a_configuration_is_documented():
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert {*KEYS, *(field.name for field in fields(TrainingSettings))} <= rows


def packed(path, folder, *, mode="w", names=None, layout=tarfile.PAX_FORMAT):
    """The files of a folder in a tar archive, in the order of `names`, else backwards; returns the archive."""
    files = sorted((file for file in folder.rglob("*") if file.is_file()), reverse=True)
    with tarfile.open(path, mode, format=layout) as archive:
        for file in files if names is None else [folder / name for name in names]:
            archive.add(file, f"./{file.relative_to(folder).as_posix()}")
    return path


@pytest.mark.parametrize(
    "mode, layout", [("w", tarfile.PAX_FORMAT), ("w", tarfile.GNU_FORMAT), ("w:gz", tarfile.PAX_FORMAT), ("w:xz", None)]
)
def test_an_archive_gives_what_its_folder_gives(tmp_path, mode, layout):
    folder = plain(tmp_path / "a", 4)
    plain(folder / "d\N{LATIN SMALL LETTER E WITH ACUTE}j\N{LATIN SMALL LETTER A WITH GRAVE} vu", 3)  # not in ASCII
    plain(folder / ("deeper " * 17).strip(), 3)  # 118 characters: more than a header has room for
    (folder / "labels.csv").write_text("no picture")
    options = {"size": 16, "crop": "random", "flip": True, "channels": "grey"}
    archive = Archive(path=packed(tmp_path / "a.tar", folder, mode=mode, layout=layout), **options)
    whole = Folder(path=folder, **options)
    assert len(archive) == 10 and all(
        archive.tar.inside(archive._order_of_names[i]) == whole.files[i].relative_to(folder).as_posix()
        for i in range(10)
    )
    for step in range(4):
        assert archive.batch(8, seed=1, step=step).equal(whole.batch(8, seed=1, step=step))


def test_shards_are_shuffled_and_read_about_as_they_lie(tmp_path):
    import webdataset

    for shard in range(4):
        with webdataset.TarWriter(str(tmp_path / f"train-{shard:02}.tar")) as writer:
            for i in range(20):
                value = np.full((8, 8, 3), 20 * shard + i, np.uint8)
                writer.write({"__key__": f"{shard}{i:02}", "png": value, "seg.png": 0 * value, "cls": i})
    data = Shards(path=tmp_path / "train-{00..03}.tar", size=8, ending="png", window=5)
    assert len(data) == 80 and "train-01.tar/105.png" in data.name(25)
    epochs = [data.batch(80, seed=0, step=step) for step in range(2)]
    assert epochs[0].equal(
        Shards(path=tmp_path / "train-*.tar", size=8, ending=".png", window=5).batch(80, seed=0, step=0)
    )
    orders = [values(epoch) for epoch in epochs]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(80)) and orders[0] != orders[1]
    for order in orders:
        assert [place // 20 for place in order] == [order[20 * k] // 20 for k in range(4) for _ in range(20)]
        assert all({p // 5 for p in order[k : k + 5]} == {order[k] // 5} for k in range(0, 80, 5))
    assert len(Shards(path=tmp_path / "train-*.tar", size=8)) == 160
    assert Shards(path=tmp_path / "train-{02..03}.tar", size=8, ending="png").name(0).endswith("train-02.tar/200.png")


@pytest.mark.parametrize(
    "spec, words",
    [
        ("archive:path=none.tar", "none.tar does not exist"),
        ("archive:path=pictures", "is a folder: take the data set 'folder'"),
        ("archive:path=text.tar", "text.tar cannot be read as a tar archive"),
        ("archive:path=cut.tar", "cut.tar cannot be read as a tar archive, it may be cut off"),
        ("archive:path=cut.tar.gz", "cut.tar.gz cannot be read as a tar archive, it may be cut off"),
        ("archive:path=empty.tar", "empty.tar holds no pictures"),
        ("archive:path=whole.tar,size=21", "smaller than the crop of size 21: 3 of 3"),
        ("archive:path=broken.tar", "1 of 4 pictures are broken, more than 1%"),
        ("shards:path=none-*.tar", "fits no file"),
        ("shards:path=none-{0..1}.tar", "none-0.tar does not exist"),
        ("shards:path=https://host/a.tar", "download the shards first"),
        ("shards:path=whole.tar,ending=jpg", "holds no pictures: put files that end in .jpg"),
        ("shards:path=whole.tar,size=21", "28x20 pixels, less than the crop of size 21"),
        ("shards:path=broken.tar", "1 of 4 pictures are broken"),
        ("torchvision:name=Cifar", "give a class of torchvision.datasets"),
        ("torchvision:name=CIFAR10,root=pictures", "check root, or set download"),
        ("torchvision:name=FakeData,options={sise: 3}", "does not take {'sise': 3}"),
        ("torchvision:name=FakeData,options={size: 3}", None),
    ],
)
def test_archives_and_names_that_do_not_fit(tmp_path, spec, words):
    folder = plain(tmp_path / "pictures", 3)
    whole = packed(tmp_path / "whole.tar", folder)
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[:700])
    zipped = packed(tmp_path / "zipped.tar.gz", folder, mode="w:gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(zipped[: len(zipped) // 2])
    (tmp_path / "text.tar").write_text("text" * 400)
    packed(tmp_path / "empty.tar", folder, names=[])
    (folder / "x.png").write_bytes(b"no picture")
    packed(tmp_path / "broken.tar", folder)
    spec = parse_spec(spec)
    spec = Spec(spec.name, {"size": 16, **spec.options})
    if words is None:
        assert build("data", spec, folder=tmp_path).batch(2, seed=0, step=0).shape == (2, 3, 16, 16)
        return
    with pytest.raises(rgmkit.RgmkitError, match=re.escape(words)) as error:
        build("data", spec, folder=tmp_path).batch(8, seed=0, step=0)
    assert "\n" not in str(error.value)


def test_as_many_shards_as_there_are(tmp_path):
    """More than a process may have open files; one that vanishes is broken pictures."""
    resource = pytest.importorskip("resource")
    folder = plain(tmp_path / "pictures", 2)
    for i in range(150):
        packed(tmp_path / f"{i:03}.tar", folder, names=["000.png", "001.png"])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
    try:
        data = Shards(path=tmp_path / "{000..149}.tar", size=8)
        assert len(data) == 300 and data.batch(300, seed=0, step=0).shape == (300, 3, 8, 8)
        data._cache.clear()
        (tmp_path / "003.tar").unlink()
        with pytest.warns(UserWarning, match=r"broken pictures are skipped.*003\.tar cannot be read: No such file"):
            data.batch(300, seed=0, step=0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_upright_and_in_their_full_depth_wherever_they_come_from(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    folder = tmp_path / "pictures"
    ramp = torch.linspace(0, 1, 8 * 12).view(1, 1, 8, 12)
    write(folder / "a" / "deep.png", Picture(ramp, bits=16))
    write(folder / "a" / "floats.tiff", Picture(ramp, bits=32))
    write(folder / "a" / "colours.png", torch.rand(3, 8, 12, generator=seeded(0)))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray((255 * ramp[0, 0]).byte().numpy()).save(folder / "a" / "turned.png", exif=exif)
    options = {"data_dir": str(folder), "cache_dir": str(tmp_path / "cache")}
    expected = Folder(path=folder, size=8).take(torch.arange(4), torch.Generator())
    for data in (
        Torchvision(name="ImageFolder", root=folder, size=8),
        HuggingFace(name="imagefolder", options=options, size=8),
    ):
        assert data.take(torch.arange(4), torch.Generator()).equal(expected), data.title


def test_hugging_face_data_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    folder = plain(tmp_path / "pictures", 5)
    options = {"data_dir": str(folder), "cache_dir": str(tmp_path / "cache")}
    data = HuggingFace(name="imagefolder", options=options, size=16)
    assert data.batch(5, seed=3, step=1).equal(Folder(path=folder, size=16).batch(5, seed=3, step=1))
    with pytest.raises(rgmkit.ConfigError, match="no column 'picture': give one of image"):
        HuggingFace(name="imagefolder", options=options, column="picture", size=16)
    with pytest.raises(rgmkit.DataError, match="cannot be read"):
        HuggingFace(name="imagefolder", options={**options, "data_dir": str(tmp_path / "none")}, size=16)


@pytest.mark.parametrize("crop", ["centre", "random"])
def test_the_rows_of_a_process_are_those_of_the_whole_batch(tmp_path, crop):
    data = Folder(path=plain(tmp_path, 7), size=8, crop=crop, flip=True)
    whole = data.batch(12, seed=2, step=3)
    parts = [data.part(range(first, first + 4), 12, seed=2, step=3) for first in (0, 4, 8)]
    assert whole.equal(torch.cat(parts))


def feed(data, workers, *, steps=12, batch=5):
    """The batches of a training, drawn by that many workers."""
    training = {"batch": batch, "steps": steps, "workers": workers, "level_weights": [2, 1, 1, 1]}
    config = {"data": data, "network": {"use": "unet", "width": 8, "blocks": 1}, "training": training, "seed": 3}
    run = set_up(read_configuration(config), ProcessGroup(torch.device("cpu")))
    with Feed(run) as batches:
        assert batches.workers == workers
        return [batches.batch(step) for step in range(steps)]


@pytest.mark.parametrize("kind", ["folder", "archive", "npz"])
def test_any_number_of_workers_draws_the_same_bits(tmp_path, monkeypatch, kind):
    """Over several epochs, with random crops, mirroring, a broken picture, and a cache that is full."""
    monkeypatch.setattr("rgmkit.training.data.pictures.MEMORY", 3 * 20 * 28 * 4)
    monkeypatch.setattr("rgmkit.training.data.pictures.MOST_BROKEN", 0.1)
    folder = tmp_path / "pictures"
    for i in range(11):
        write(folder / f"{i:03}.png", torch.rand(3, 20, 28, generator=seeded(i)))
    (folder / "004.png").write_bytes(b"no picture")
    np.savez(tmp_path / "a.npz", images=(np.arange(11 * 256) % 251).astype(np.uint8).reshape(11, 16, 16))
    data = {
        "folder": {"use": "folder", "path": folder, "size": 16, "crop": "random", "flip": True},
        "archive": {
            "use": "archive", "path": packed(tmp_path / "a.tar.gz", folder, mode="w:gz"), "size": 16, "crop": "random",
        },
        "npz": {"use": "npz", "path": tmp_path / "a.npz", "flip": True},
    }[kind]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, *others = (feed(data, workers) for workers in (0, 1, 3))
    for other in others:
        for one, two in zip(expected, other, strict=True):
            assert all(getattr(one, field.name).equal(getattr(two, field.name)) for field in fields(one))
    assert len({tuple(one.x[:, 0, 0, 0].tolist()) for one in expected}) == len(expected)


def test_workers_draw_ahead_and_pass_errors_on(tmp_path):
    """The error of a batch is raised where that batch is asked for, in the thread that asks."""
    taken, begun = [], [Event() for _ in range(20)]

    class Counted(Digits):
        def part(self, rows, size, *, seed, step):
            taken.append((step, current_thread() is main_thread()))
            begun[step].set()
            if step == 5:
                raise rgmkit.DataError("step 5 is broken")
            return super().part(rows, size, seed=seed, step=step)

    config = {"data": Counted(), "network": {"use": "unet", "width": 8, "blocks": 1}, "training": {"workers": 3}}
    run = set_up(read_configuration(config), ProcessGroup(torch.device("cpu")))
    with Feed(run) as batches:
        for step in range(5):
            batches.batch(step)
        with pytest.raises(rgmkit.DataError, match="step 5 is broken"):
            batches.batch(5)
        assert begun[6].wait(60)  # drawn ahead: nobody asks for it
        batches.batch(7)
    assert {step for step, _ in taken} >= {0, 1, 2, 3, 4, 5, 6, 7} and not any(main for _, main in taken)


def test_several_workers_are_the_default_on_an_accelerator(monkeypatch):
    config = {"data": "digits", "network": {"use": "unet", "width": 8, "blocks": 1}}
    run = set_up(read_configuration(config), ProcessGroup(torch.device("cpu")))
    assert count_workers(run) == 1
    monkeypatch.setattr("rgmkit.training.feed.os.cpu_count", lambda: 16)
    for processes, workers in ((1, 4), (8, 2), (32, 1)):
        run.processes = ProcessGroup(torch.device("cuda"), processes)
        assert count_workers(run) == workers
