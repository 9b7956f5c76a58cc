"""Files of stacks and bands: every frame and band is read, and written in the axes and the depth of the file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import rgmkit
from rgmkit.errors import ConfigError, DataError
from rgmkit.experiments.photographs import Photographs
from rgmkit.images import Picture, read, read_measurement, write, write_measurement
from rgmkit.training.data.files import Folder

H, W = 6, 9
TYPES = {"uint8": (8, (0, 255)), "uint16": (16, (0, 65535)), "float32": (32, (0, 1))}
STACKS = {
    "ZYX": (5, H, W), "TYX": (2, H, W), "CYX": (4, H, W), "TZYX": (2, 3, H, W), "ZCYX": (3, 2, H, W),
    "YXC": (H, W, 4), "ZYXC": (2, H, W, 3), "BYX": (3, H, W), "CZYX": (2, 3, H, W), "TZCYX": (2, 3, 2, H, W),
}  # fmt: skip


def values(shape, dtype="uint16", seed=0):
    numbers = np.random.default_rng(seed).random(shape)
    return (numbers * TYPES[dtype][1][1]).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("axes", STACKS)
def test_a_tiff_is_read_and_written_with_all_frames_and_bands(tmp_path, axes, dtype):
    array = values(STACKS[axes], dtype)
    tifffile.imwrite(
        tmp_path / "a.tif",
        array,
        metadata={"axes": axes.replace("C", "S" if axes.endswith("C") else "C")},
        photometric="minisblack",
        planarconfig="contig" if axes.endswith("C") else None,
    )
    stack = read(tmp_path / "a.tif")
    assert stack.x[0, 0].shape == (H, W) and stack.x.numel() == array.size
    assert (stack.alpha, stack.bits, stack.notes) == (None, TYPES[dtype][0], ())
    written = write(tmp_path / "b.tif", stack)
    assert (written.clipped, written.quantised, written.notes) == (0, False, ())
    with tifffile.TiffFile(tmp_path / "b.tif") as back:
        assert (back.asarray() == array).all() and back.asarray().dtype == array.dtype
        assert back.series[0].axes.replace("S", "C") == axes
    again = read(tmp_path / "b.tif")
    assert torch.equal(again.x, stack.x) and again.layout.axes == axes and again.alpha is None


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_stacks_of_imagej_and_ome(tmp_path, kind):
    array = values((2, 3, 2, H, W))
    tifffile.imwrite(tmp_path / "a.tif", array, **{kind: True}, photometric="minisblack", metadata={"axes": "TZCYX"})
    stack = read(tmp_path / "a.tif")
    assert stack.x.shape == (6, 2, H, W) and stack.layout.axes == "TZCYX"
    write(tmp_path / "b.tif", stack)
    with tifffile.TiffFile(tmp_path / "b.tif") as back:
        assert back.is_imagej and (back.asarray() == array).all() and back.series[0].axes == "TZCYX"


@pytest.mark.parametrize("shape", [(3, H, W), (H, W)])
def test_the_size_of_a_pixel_is_kept_unless_the_size_of_the_image_changes(tmp_path, shape):
    scale = {"unit": "um", "spacing": 0.5}
    axes = "ZYX"[-len(shape) :]
    tifffile.imwrite(
        tmp_path / "a.tif", values(shape), imagej=True, resolution=(4, 5), metadata={"axes": axes, **scale}
    )
    stack = read(tmp_path / "a.tif")
    write_measurement(tmp_path / "b.tif", stack.x, stack)
    with tifffile.TiffFile(tmp_path / "b.tif") as back:
        tags = back.pages[0].tags
        assert back.imagej_metadata.items() >= scale.items() and (back.asarray() == values(shape)).all()
        assert [tags[name].value for name in ("XResolution", "YResolution")] == [(4, 1), (5, 1)]
    write_measurement(tmp_path / "c.tif", stack.x[..., ::2, :], stack)
    with tifffile.TiffFile(tmp_path / "c.tif") as back:
        assert "spacing" not in (back.imagej_metadata or {}) and back.asarray().shape == (*shape[:-2], H // 2, W)


@pytest.mark.parametrize(
    ("array", "axes", "shape"),
    [(values((5, H, W)), "ZYX", (5, 1, H, W)), (values((5, H, W)), "CYX", (1, 5, H, W)),
     (values((H, W, 4)), None, (1, 4, H, W)), (values((H, W, 2)), None, (1, 2, H, W)),
     (values((2, 3, H, W)), "ZCYX", (2, 3, H, W))],
)  # fmt: skip
def test_npy_has_the_axes_that_are_given_and_no_alpha(tmp_path, array, axes, shape):
    np.save(tmp_path / "a.npy", array)
    stack = read(tmp_path / "a.npy", axes=axes)
    assert stack.x.shape == shape and stack.alpha is None
    assert (axes is None) == any("does not say that one is alpha" in note for note in stack.notes)
    write(tmp_path / "b.npy", stack)
    back = np.load(tmp_path / "b.npy")
    assert back.shape == array.shape and np.allclose(back * 65535, array, atol=0.01)


@pytest.mark.parametrize(
    ("dtype", "range"),
    [("uint8", None), ("uint16", None), (">f4", None), ("float16", None), ("uint8", (0, 100)), ("int64", (0, 255)),
     ("float64", (-1, 1))],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["npy", "tif", "png"])
def test_a_measurement_of_one_picture_is_read_and_written_as_the_picture_is(tmp_path, dtype, range, ending):
    array = (100 * np.random.default_rng(0).random((H, W))).astype(dtype)
    np.save(tmp_path / "x.npy", array)
    np.save(tmp_path / "y.npy", array[None, None])
    x, y = read(tmp_path / "x.npy", range=range), read_measurement(tmp_path / "y.npy", range=range)
    assert (x.x == y.x.float()).all() and (x.bits, len(x.notes)) == (y.bits, len(y.notes))
    for name, picture in (("x", x), ("y", y)):
        write_measurement(tmp_path / f"{name}.{ending}", picture.x.float(), picture)
    assert (tmp_path / f"x.{ending}").read_bytes() == (tmp_path / f"y.{ending}").read_bytes()


@pytest.mark.parametrize(
    ("array", "words"),
    [(np.ones((1, 1, 4, 4), bool), "holds bool"), (np.ones((1, 1, 4, 4), np.longdouble), "convert it to whole"),
     (np.full((1, 1, 4, 4), "a"), "convert it"), (np.zeros((1, 1, 4, 4), [("a", "f4")]), "convert it"),
     (np.ones((1, 1, 0, 4)), "holds no values"), (np.ones((1, 1, 4, 4), np.int64), "nothing of its range"),
     (np.array(1j), "array of shape")],
)  # fmt: skip
def test_a_measurement_that_holds_no_numbers_is_refused(tmp_path, array, words):
    np.save(tmp_path / "y.npy", array)
    with pytest.raises(DataError, match=words):
        read_measurement(tmp_path / "y.npy")


def test_alpha_is_what_the_file_says_is_alpha(tmp_path):
    array = values((H, W, 4), "uint8")
    options = {"photometric": "rgb", "planarconfig": "contig"}
    for extra, is_alpha in (("unassalpha", True), ("assocalpha", True), ("unspecified", False)):
        tifffile.imwrite(tmp_path / "a.tif", array, extrasamples=(extra,), **options)
        stack = read(tmp_path / "a.tif")
        assert (stack.alpha is not None, stack.x.shape[1]) == (is_alpha, 3 if is_alpha else 4)
        write(tmp_path / "b.tif", stack)
        expected = array.copy()
        if extra == "assocalpha":  # the colours were multiplied by alpha, and are written without
            expected[..., :3] = np.rint(255.0 * array[..., :3] / array[..., 3:].clip(1)).clip(0, 255) * (
                array[..., 3:] > 0
            )
        assert (tifffile.imread(tmp_path / "b.tif") == expected).all()
        assert torch.equal(read(tmp_path / "b.tif").x, stack.x)
    Image.fromarray(array).save(tmp_path / "a.png")
    written = write(tmp_path / "a.npy", read(tmp_path / "a.png"))
    assert written.notes == (".npy has no alpha channel: it is left out",)
    assert np.load(tmp_path / "a.npy").shape == (H, W, 3)


def test_alpha_is_no_alpha_on_an_axis_that_is_given_as_another(tmp_path):
    array = values((H, W, 4), "uint8")
    Image.fromarray(array).save(tmp_path / "a.png")
    slices, bands = read(tmp_path / "a.png", axes="YXZ"), read(tmp_path / "a.png", axes="yxc")
    assert slices.alpha is None and slices.x.shape == (4, 1, H, W) and bands.alpha is not None
    write(tmp_path / "b.tif", slices)
    assert (tifffile.imread(tmp_path / "b.tif").reshape(array.shape) == array).all()


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_frames_that_only_pillow_can_decode(tmp_path, compression):
    frames = [Image.fromarray(values((H, W), "uint8", seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:], compression=compression)
    stack = read(tmp_path / "a.tif")
    assert stack.x.shape == (3, 1, H, W) and stack.notes == ()
    assert (stack.x[2, 0].numpy() * 255 == np.asarray(frames[2])).all()


def test_series_of_unlike_images(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(values((3, H, W)), photometric="minisblack")
        file.write(values((2, 2)))
    stack = read(tmp_path / "a.tif")
    assert stack.x.shape == (3, 1, H, W) and stack.notes == ("only the first of 2 image series is read",)


@pytest.mark.parametrize("ending", ["tif", "npy", "png"])
@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("uint16", 0, 4095), ("uint8", 0, 100), ("float32", 0, 4095), ("float32", -1, 1), ("int16", -1024, 3071)],
)
def test_values_are_written_in_the_range_in_which_they_are_read(tmp_path, ending, dtype, low, high):
    array = (low + (high - low) * np.random.default_rng(0).random((H, W))).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    stack = read(tmp_path / "a.npy", range=(low, high))
    assert float(stack.x.min()) >= 0 and 0.9 < float(stack.x.max()) <= 1
    written = write(tmp_path / f"b.{ending}", stack)
    exact = ending != "png" or (low == 0 and dtype[0] == "u")
    assert written.clipped == 0 and any("stand for" in note for note in written.notes) == (not exact)
    back = read(tmp_path / f"b.{ending}", range=(low, high) if exact else None)
    assert float((back.x - stack.x).abs().max()) < (1e-6 if exact else 0.003)
    if ending == "tif":
        assert tifffile.imread(tmp_path / "b.tif").dtype == dtype


def test_what_a_range_cannot_hold_is_clipped_and_counted(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0, 4095]], np.uint16))
    stack = read(tmp_path / "a.npy", range=(0, 4095))
    written = write(tmp_path / "a.tif", Picture(stack.x * 20 - 1, bits=16, layout=stack.layout))
    assert written.loss == "2 of 2 values are clipped to [0, 65535]"
    assert tifffile.imread(tmp_path / "a.tif").tolist() == [[0, 65535]]


def test_what_does_not_fit_a_format_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", values((5, H, W)))
    with pytest.raises(DataError, match=r"a.npy holds an array of shape .* name its axes by axes= or --axes"):
        read(tmp_path / "a.npy")
    with pytest.raises(DataError, match=r"axes YX are 2, and .* has 3"):
        read(tmp_path / "a.npy", axes="YX")
    with pytest.raises(ConfigError, match="axes is 'QYX'"):
        read(tmp_path / "a.npy", axes="QYX")
    for ending in ("png", "jpg"):
        with pytest.raises(DataError, match=r"one image with 1 or 3 channels: write it as .tif or .npy"):
            write(tmp_path / f"b.{ending}", read(tmp_path / "a.npy", axes="ZYX"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def stack_file(folder, axes="ZYX", high=4095):
    """A stack of five pictures of 16 bits, or a picture of five bands, in a TIFF; its values."""
    x = np.random.default_rng(0).random((5, 4, 5)).repeat(4, 1).repeat(4, 2)
    array = (high * x).astype(np.uint16)
    tifffile.imwrite(folder / "x.tif", array, photometric="minisblack", metadata={"axes": axes})
    return array


@pytest.mark.parametrize("axes", ["ZYX", "CYX"])
def test_a_stack_of_counts_on_the_command_line(run, tmp_path, axes):
    truth = stack_file(tmp_path, axes)
    spec = ("-d", "blur:std=1,noise=0.05", "--range", "0,4095")
    assert run("degrade", tmp_path / "x.tif", *spec, "-o", tmp_path / "y.tif").code == 0
    y = tifffile.imread(tmp_path / "y.tif")
    assert (y.shape, y.dtype) == (truth.shape, truth.dtype)
    args = (*spec, "--prior", "tv", "--solver", "admm:iterations=3", "-o", tmp_path / "r.tif", "--samples", 1)
    ran = run("restore", tmp_path / "y.tif", *args, "--truth", tmp_path / "x.tif", "--json")
    facts = json.loads(ran.out)
    assert ran.code == 0 and facts["psnr"]["after"] > facts["psnr"]["before"] + 1 > 15
    assert "note: noise=0.05 is relative to the range 0 … 4095: a standard deviation of 204.8" in ran.err
    with tifffile.TiffFile(tmp_path / "r.tif") as file:
        x = file.asarray()
        assert (file.series[0].axes, x.dtype) == (axes, truth.dtype)
    options = {"axes": axes, "range": (0, 4095), "solver": "admm:iterations=3"}
    assert abs(x.astype(int) - rgmkit.restore(y, spec[1], "tv", **options).x).max() <= 1
    assert tifffile.imread(tmp_path / "r-std.tif").shape == truth.shape


def test_frames_draw_noise_of_their_own_and_black_is_where_the_range_begins(run, tmp_path):
    np.save(tmp_path / "x.npy", np.full((3, 8, 8), -1.0, np.float32))
    args = ("--axes", "ZYX", "--range", "-1,1", "-o", tmp_path / "y.npy")
    assert run("degrade", tmp_path / "x.npy", "-d", "inpaint:keep=0.5", *args).code == 0
    assert set(np.unique(np.load(tmp_path / "y.npy"))) == {-1.0, 0.0}  # A x of the values themselves
    assert run("degrade", tmp_path / "x.npy", "-d", "gaussian-noise:noise=0.1", *args).code == 0
    y = np.load(tmp_path / "y.npy") + 1
    assert abs(y.std() - 0.2) < 0.05 and abs(np.corrcoef(y.reshape(3, -1)) - np.eye(3)).max() < 0.5


def test_the_truth_is_treated_as_the_answer_is(run, tmp_path):
    truth = stack_file(tmp_path)
    args = ("-d", "gaussian-noise:noise=0.05", "--range", "0,4095", "--solver", "pinv", "-o", tmp_path / "r.npy")
    tifffile.imwrite(tmp_path / "one.tif", truth[0])
    facts = json.loads(run("restore", tmp_path / "one.tif", *args, "--truth", tmp_path / "one.tif", "--json").out)
    assert facts["psnr"]["after"] is None or facts["psnr"]["after"] > 60  # itself
    Image.fromarray((truth[0] // 16).astype(np.uint8)).save(tmp_path / "eight.png")
    ran = run("restore", tmp_path / "one.tif", *args, "--truth", tmp_path / "eight.png", "--json")
    assert json.loads(ran.out)["psnr"]["after"] > 45 and "a true image of 8 bits" in ran.err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--range 0,0", "Invalid value for '--range': '0,0': give two numbers"),
        ("--range 4095", "'4095': give two numbers"),
        ("--range a,b", "'a,b': give two numbers"),
        ("--range 0,inf", "'0,inf': give two numbers"),
        ("--axes ZY", "Invalid value for '--axes': 'ZY': give one letter for each axis"),
        ("--axes ZZYX", "'ZZYX': give one letter"),
        ("--axes YX", "axes YX are 2, and"),
        ("--axes ZYX -d gaussian-noise:noise=20 --range 0,4095", "give noise=0.004884"),
        ("-o R.png", "PNG stores one image with 1 or 3 channels: write it as .tif or .npy"),
    ],
)
@pytest.mark.parametrize("command", ["degrade", "restore"])
def test_bad_ranges_and_axes_write_nothing(run, tmp_path, command, args, message):
    stack_file(tmp_path)
    words = args.replace("R.png", str(tmp_path / "r.png")).split()
    ran = run(command, tmp_path / "x.tif", "-d", "gaussian-noise:noise=0.1", "-o", tmp_path / "r.tif", *words)
    assert ran.code == 2 and ran.out == "" and message in ran.err.splitlines()[-1]
    assert ran.err.splitlines()[-1].startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["x.tif"]


def test_floats_outside_0_to_1_are_warned_of_on_the_command_line(run, tmp_path, photo):
    np.save(tmp_path / "y.npy", 4095 * photo[0, 0].numpy())
    args = (
        "restore",
        tmp_path / "y.npy",
        "-d",
        "gaussian-noise:noise=0.1",
        "--solver",
        "pinv",
        "-o",
        tmp_path / "x.npy",
    )
    ran = run(*args)
    assert ran.code == 0 and ran.err.count("warning: the measurement looks like one of an image with values from") == 1
    assert "--range 0,4095" in ran.err
    assert "warning" not in run(*args, "--range", "0,4095").err
    assert "warning" not in run(*args, "--range", "0,1").err  # as they are, on purpose


def test_the_pictures_of_a_grid_have_a_range_and_one_frame(tmp_path):
    array = stack_file(tmp_path)
    np.save(tmp_path / "one.npy", array[0].astype(np.float32))
    path = tmp_path / "one.npy"
    (photograph,) = Photographs(path=path, range=(0, 4095)).select()
    assert np.allclose(photograph.read()[0, 0] * 4095, array[0], atol=1e-3) and photograph.shape() == (1, 16, 20)
    with pytest.raises(DataError, match="or give their range"):
        Photographs(path=path).select()[0].read()
    with pytest.raises(DataError, match=r"x.tif holds 5 frames with 1 channels: save each"):
        Photographs(path=tmp_path / "x.tif").select()[0].read()
    with pytest.raises(ConfigError, match="range is"):
        Photographs(path=path, range=(1, 1))


def test_bands_beyond_colour_and_later_frames_are_left_out_of_training_data(tmp_path):
    array = values((2, H, W, 4), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extrasamples=("unspecified",))
    crops = Folder(path=tmp_path, size=H).batch(1, seed=0, step=0)
    assert (
        crops.shape == (1, 3, H, H)
        and (crops[0] * 255).round().tolist() == array[0, :, 1:7, :3].transpose(2, 0, 1).tolist()
    )


def test_the_std_of_samples_is_in_units_of_the_range_on_the_command_line(run, tmp_path):
    y = (-100 + 4195 * np.random.default_rng(0).random((2, 16, 16))).astype(np.float32)
    np.save(tmp_path / "y.npy", y)
    args = (
        "-d",
        "gaussian-noise:noise=0.2",
        "--axes",
        "ZYX",
        "--range",
        "-100,4095",
        "--prior",
        "digits",
        "--samples",
        4,
    )
    ran = run("restore", tmp_path / "y.npy", *args, "-o", tmp_path / "x.npy", "--json")
    std = np.load(tmp_path / "x-std.npy")
    expected = rgmkit.restore(y, args[1], "digits", axes="ZYX", range=(-100, 4095), samples=4).std
    np.testing.assert_allclose(std, expected, atol=1)
    assert std.max() > 20 and json.loads(ran.out)["std"]["largest"] == pytest.approx(std.max())
