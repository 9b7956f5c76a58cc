from __future__ import annotations

import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageOps

from rgmkit.errors import DataError, IncompatibleError
from rgmkit.images import Picture, make_sheet, read, write

H, W = 6, 9


def whole(channels, bits, seed=0):
    """A random (H, W, C) array of whole numbers."""
    dtype = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**bits, (H, W, channels)).astype(dtype)


def picture(array):
    """The same, as a Picture."""
    steps = np.iinfo(array.dtype).max
    x = torch.from_numpy(array.astype(np.float32) / np.float32(steps)).movedim(-1, 0)[None]
    colours = x.shape[1] - (x.shape[1] % 2 == 0)
    return Picture(x[:, :colours], x[:, colours:] if colours < x.shape[1] else None, 8 * array.dtype.itemsize)


def values(picture):
    """The whole numbers (H, W, C) of a Picture, alpha last."""
    x = picture.x if picture.alpha is None else torch.cat([picture.x, picture.alpha], 1)
    return (x[0].movedim(0, -1).double().numpy() * (2**picture.bits - 1)).round().astype(int)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_depth_and_channel_count_comes_back(tmp_path, ending, bits, channels):
    array = whole(channels, bits)
    written = write(tmp_path / f"a.{ending}", picture(array))
    back = read(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(values(back), array)
    assert (back.bits, back.x.dtype, back.notes) == (bits, torch.float32, ())
    assert (written.clipped, written.quantised, written.notes) == (0, False, ())
    if bits == 8:
        assert (np.asarray(Image.open(tmp_path / f"a.{ending}")).reshape(H, W, channels) == array).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_with_filtered_rows(tmp_path, channels):
    array = whole(channels, 16)
    rows = np.ascontiguousarray(array.astype(">u2")).view(np.uint8).reshape(H, W, 2 * channels)
    rows[:, 1:] -= rows[:, :-1].copy()  # the PNG filter "Sub": the pixel to the left is subtracted
    body = zlib.compress(np.pad(rows.reshape(H, -1), ((0, 0), (1, 0)), constant_values=1).tobytes())
    write(tmp_path / "a.png", picture(array))
    data = (tmp_path / "a.png").read_bytes()
    chunk = struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body))
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[-12:])
    assert (values(read(tmp_path / "a.png")) == array).all()


def test_jpeg_is_close_and_leaves_alpha_out_with_a_word(tmp_path):
    ramp = np.linspace(0, 255, H * W).reshape(H, W, 1).repeat(4, 2).astype(np.uint8)
    written = write(tmp_path / "a.JPG", picture(ramp))
    back = read(tmp_path / "a.JPG")
    assert back.alpha is None
    assert np.abs(values(back) - ramp[..., :3].astype(int)).max() <= 4
    assert any("alpha" in note for note in written.notes)


def stored(kind, folder, array, orientation):
    """A file of the array (H, W, 3) with an EXIF orientation; 16-bit where the name says so."""
    exif = Image.Exif()
    exif[274] = orientation
    path = folder / f"{kind}.{kind[:3]}"
    if kind == "png16":
        write(path, picture(array.astype(np.uint16)))
        data, body = path.read_bytes(), exif.tobytes().removeprefix(b"Exif\0\0")
        chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
        path.write_bytes(data[:33] + chunk + data[33:])  # behind the header
    elif kind == "tif16":
        tifffile.imwrite(path, array.astype(np.uint16), photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    else:
        Image.fromarray(array).save(path, exif=exif)
    return path


@pytest.mark.parametrize("kind", ["png", "png16", "tif", "tif16"])
def test_pictures_are_upright(tmp_path, kind):
    array = whole(3, 8)
    for orientation in range(1, 9):
        tagged = Image.fromarray(array)
        tagged.getexif()[274] = orientation
        upright = np.asarray(ImageOps.exif_transpose(tagged))
        assert (values(read(stored(kind, tmp_path, array, orientation))) == upright).all(), orientation


def test_palettes_one_bit_cmyk_and_transparent_colours(tmp_path):
    def load(image, ending="png", **options):
        image.save(tmp_path / f"a.{ending}", **options)
        return read(tmp_path / f"a.{ending}")

    rgb = Image.fromarray(whole(3, 8))
    palette = rgb.quantize(16)
    assert (values(load(palette)) == np.asarray(palette.convert("RGB"))).all()
    grey = rgb.convert("L")
    assert (values(load(grey.convert("P")))[..., 0] == np.asarray(grey)).all()
    assert values(load(grey.convert("1"))).shape == (H, W, 1)
    assert (values(load(rgb.convert("CMYK"), "tif")) == np.asarray(rgb.convert("CMYK").convert("RGB"))).all()
    seen = load(grey, transparency=int(np.asarray(grey)[0, 0]))
    assert float(seen.alpha[0, 0, 0, 0]) == 0
    assert float(seen.alpha.max()) == 1


def test_deep_tiffs_that_other_programs_write(tmp_path):
    deep = whole(3, 16)
    Image.fromarray(deep[..., 0]).save(tmp_path / "lzw.tif", compression="tiff_lzw")
    assert (values(read(tmp_path / "lzw.tif"))[..., 0] == deep[..., 0]).all()
    tifffile.imwrite(tmp_path / "planes.tif", deep.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    assert (values(read(tmp_path / "planes.tif")) == deep).all()
    tifffile.imwrite(tmp_path / "big.tif", deep, photometric="rgb", byteorder=">", bigtiff=True)
    assert (values(read(tmp_path / "big.tif")) == deep).all()
    tifffile.imwrite(tmp_path / "white.tif", deep[..., 0], photometric="miniswhite")
    assert (values(read(tmp_path / "white.tif"))[..., 0] == 65535 - deep[..., 0].astype(int)).all()
    tifffile.imwrite(tmp_path / "stack.tif", deep.transpose(2, 0, 1), photometric="minisblack")
    stack = read(tmp_path / "stack.tif")
    assert stack.x.shape == (3, 1, H, W) and stack.notes == ()
    assert (stack.x[:, 0].movedim(0, -1).double().numpy() * 65535).round().astype(int).tolist() == deep.tolist()


@pytest.mark.parametrize("ending", ["tif", "npy"])
@pytest.mark.parametrize("channels", [1, 3])
def test_floats_are_kept_as_they_are(tmp_path, ending, channels):
    x = torch.randn(1, channels, H, W, generator=torch.Generator().manual_seed(0))
    written = write(tmp_path / f"a.{ending}", Picture(x, bits=32))
    back = read(tmp_path / f"a.{ending}")
    assert torch.equal(back.x, x)
    assert (back.bits, written.clipped, written.loss) == (32, 0, "")


def test_a_measurement_in_8_bits_loses_values_and_says_how_many(tmp_path):
    x = torch.tensor([-0.25, 0.5, 1.25, 1.0]).reshape(1, 1, 2, 2)
    eight = write(tmp_path / "a.png", x)
    assert (eight.clipped, eight.values, eight.quantised) == (2, 4, True)
    assert eight.loss == "2 of 4 values are clipped to [0, 1], all are rounded to 8 bits"
    assert (values(read(tmp_path / "a.png")).ravel() == [0, 128, 255, 255]).all()
    sixteen = write(tmp_path / "b.png", Picture(x[..., :1, 1:], bits=16))
    assert (sixteen.clipped, sixteen.quantised, sixteen.loss) == (0, True, "")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float64, ">f4"])
def test_npy_of_the_usual_types(tmp_path, dtype):
    array = np.linspace(0, 1, H * W * 3).reshape(H, W, 3)
    steps = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    np.save(tmp_path / "a.npy", np.asfortranarray((array * steps).astype(dtype)))
    back = read(tmp_path / "a.npy")
    np.testing.assert_allclose(back.x[0].movedim(0, -1), array, atol=1 / 255)


def test_alpha_follows_a_change_of_size(tmp_path):
    small = picture(whole(4, 8))
    write(tmp_path / "a.png", Picture(torch.zeros(1, 3, 2 * H, 2 * W), small.alpha))
    alpha = read(tmp_path / "a.png").alpha
    assert torch.equal(alpha, small.alpha.repeat_interleave(2, -1).repeat_interleave(2, -2))


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("unpickled"),)


def bad_files(folder):
    """Files that hold no picture, with a part of the message that names what is wrong."""
    good = folder / "good.png"
    write(good, picture(whole(3, 8)))
    write(folder / "good16.png", picture(whole(3, 16)))
    write(folder / "good.tif", picture(whole(3, 16)))
    (folder / "text.png").write_text("a text file as image\n")
    (folder / "empty.png").touch()
    for name in ("good.png", "good16.png", "good.tif"):
        (folder / f"cut_{name}").write_bytes((folder / name).read_bytes()[:90])
    np.save(folder / "nan.npy", np.array([[0.5, np.nan], [np.inf, 1]]))
    np.save(folder / "whole.npy", np.zeros((4, 4), np.int64))
    np.save(folder / "complex.npy", np.zeros((4, 4), complex))
    np.save(folder / "first.npy", np.zeros((3, 8, 9)))
    np.save(folder / "batch.npy", np.zeros((2, 8, 9, 3)))
    np.save(folder / "nothing.npy", np.zeros((0, 4)))
    with open(folder / "pickled.npy", "wb") as file:
        np.save(file, np.array([Bomb()], object), allow_pickle=True)
    damaged = bytearray((folder / "good.tif").read_bytes())
    damaged[72] = 200  # the type of the tag StripOffsets
    (folder / "damaged.tif").write_bytes(damaged)
    (folder / "raw.npy").write_bytes(pickle.dumps(Bomb()))
    (folder / "cut.npy").write_bytes((folder / "nan.npy").read_bytes()[:-4])
    tifffile.imwrite(folder / "nan.tif", np.full((4, 4), np.nan, np.float32))
    tifffile.imwrite(folder / "int32.tif", np.zeros((4, 4), np.int32))
    return {
        "missing.png": "does not exist", ".": "is a folder", "text.png": "not a picture", "empty.png": "is empty",
        "cut_good.png": "cut off", "cut_good16.png": "cut off", "cut_good.tif": "cut off", "damaged.tif": "damaged.tif",
        "cut.npy": "cut off",
        "nan.npy": "2 of 4 values", "nan.tif": "NaN", "whole.npy": "int64", "complex.npy": "complex128",
        "first.npy": "channels come last", "batch.npy": "one image", "nothing.npy": "no values",
        "pickled.npy": "Python objects", "raw.npy": "not a picture", "int32.tif": "int32",
    }  # fmt: skip


def test_what_is_no_picture_is_refused_in_one_line_that_names_it(tmp_path, monkeypatch, caplog, recwarn):
    monkeypatch.chdir(tmp_path)
    for name, part in bad_files(tmp_path).items():
        with pytest.raises(DataError) as error:
            read(tmp_path / name)
        message = str(error.value)
        assert part in message, (name, message)
        assert str(tmp_path / name) in message
        assert "\n" not in message
    assert not Path("unpickled").exists()
    assert not caplog.records
    assert not recwarn.list


def test_places_where_nothing_can_be_written(tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    for name, part in {
        "a.gif": ".png, .jpg",
        "a": "ending ''",
        "folder.png": "folder",
        "file/a.png": "not a folder",
    }.items():
        with pytest.raises(DataError, match=part):
            write(tmp_path / name, torch.zeros(1, 1, 2, 2))
    for shape in [(1, 2, 3, 4), (2, 1, 3, 4), (3, 4)]:
        with pytest.raises(DataError, match=r"1 or 3 channels|is not a picture"):
            write(tmp_path / "a.png", torch.zeros(shape))
    for name in ("a.png", "a.npy"):
        for wrong, part in {
            torch.rand(3, 4): r"shape \(3, 4\) is not a picture: give a tensor \(C, H, W\)",
            torch.rand(1, 0, 4): r"shape \(1, 0, 4\) is not a picture",
            torch.full((1, 3, 4), torch.nan): "the picture holds 12 of 12 values that are NaN",
            torch.ones(1, 3, 4, dtype=torch.complex64): "the picture is complex: write its magnitude",
        }.items():
            with pytest.raises(DataError, match=rf"{name}: .*{part}"):
                write(tmp_path / name, wrong)
    with pytest.raises(DataError, match="the picture is complex"):
        write(tmp_path / "a.npy", np.ones((3, 4), np.complex64))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "folder" / "a.png"
    write(path, torch.zeros(1, 2, 2))
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(DataError, match="disk full"):
            write(path, torch.ones(1, 2, 2))
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["a.png"]
    write(path, torch.ones(1, 2, 2))
    assert float(read(path).x.min()) == 1


def test_a_sheet_holds_every_image_in_rows():
    images = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 1, 2, 3)
    sheet = make_sheet(images, columns=2, enlarge=2, gap=1)
    assert sheet.shape == (1, 3 * 5 + 1, 2 * 7 + 1)
    assert sheet[0, 1::5, 1::7].tolist() == [[0, 1], [2, 3], [4, 1]]
    assert bool((sheet[0, ::5] == 1).all())
    assert make_sheet(torch.rand(1, 3, 4, 4)).shape == (3, 8, 8)
    with pytest.raises(IncompatibleError, match="N >= 1"):
        make_sheet(torch.zeros(0, 1, 2, 2))
