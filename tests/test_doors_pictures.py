"""Picture files as the field has them: the right values, or a refusal that says what to do, or a note."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from rgmkit.errors import DataError
from rgmkit.images import read
from rgmkit.images.picture import decode, write
from rgmkit.training.data.files import Folder

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def pillow_tiff(array, **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "TIFF", **options)
    return file.getvalue()


def tagged_tiff(pixels, tags, *, shape=(8, 8)):
    """A TIFF with one strip of bytes; tags are (number, type, value)."""
    fields = {256: (3, shape[1]), 257: (3, shape[0]), 259: (3, 1), 262: (3, 1), 277: (3, 1), 278: (3, shape[0])}
    fields |= {273: (4, 8), 279: (4, len(pixels))} | tags
    entries = b"".join(
        struct.pack("<HHI", tag, kind, 1) + (struct.pack("<I", value) if kind != 3 else struct.pack("<HH", value, 0))
        for tag, (kind, value) in sorted(fields.items())
    )
    return (
        struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + struct.pack("<H", len(fields)) + entries + b"\0" * 4
    )


def pack_bits(values, bits):
    """Pack whole numbers without gaps between them, the most significant bit first; rows begin with a byte."""
    planes = (values[..., None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(planes.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def png(rows, *, depth, colour_type, chunks=()):
    """A PNG of the bytes of its rows."""
    height, width = rows.shape[0], rows.shape[1]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    packed = [b"\0" + pack_bits(row.reshape(1, -1), depth) for row in rows]
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"".join(packed))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def jpeg(exif):
    file = io.BytesIO()
    Image.fromarray((255 * RAMP).round().astype(np.uint8)).save(file, "JPEG", quality=100, exif=b"Exif\0\0" + exif)
    return file.getvalue()


def exif(*entries):
    """EXIF metadata with tags (number, type, count, four bytes), and a rational of -1/0 behind them."""
    start = 8 + 2 + 12 * len(entries) + 4
    fields = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + b"\0" * 4 + struct.pack("<ii", -1, 0), start


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("samples", [2, 4])
@pytest.mark.parametrize("options", [{}, {"planarconfig": "separate"}, {"compression": "zlib"}])
def test_colours_that_were_multiplied_by_alpha_are_divided_by_it(dtype, samples, options):
    white = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    array = np.full((6, 7, samples), 0.4) * white
    array[..., -1] = 0.5 * white
    array[0, 0] = 0
    if options.get("planarconfig"):
        array = array.transpose(2, 0, 1)
    options = {"planarconfig": "contig", **options}
    kind = "rgb" if samples == 4 else "minisblack"
    for meaning, expected in (("assocalpha", 0.8), ("unassalpha", 0.4)):
        data = tiff(np.ascontiguousarray(array).astype(dtype), photometric=kind, extrasamples=[meaning], **options)
        picture = decode(data, name="y.tif")
        assert picture.x.shape == (1, samples - 1, 6, 7)
        assert picture.x[0, 0, 3, 3] == pytest.approx(expected, abs=3 / 255) and picture.x[0, 0, 0, 0] == 0
        assert picture.alpha[0, 0, 3, 3] == pytest.approx(0.5, abs=1 / 255)


def test_multiplied_colours_with_a_compression_that_only_pillow_knows():
    file = io.BytesIO()
    Image.fromarray(np.full((6, 7, 4), 128, np.uint8)).save(file, "TIFF", compression="tiff_lzw")
    assert decode(file.getvalue(), name="y.tif").x.mean() == pytest.approx(128 / 255)
    lzw = bytearray(file.getvalue())
    at = lzw.index(struct.pack("<HHI", 338, 3, 1))
    lzw[at + 8] = 1  # associated
    assert decode(bytes(lzw), name="y.tif").x.mean() == pytest.approx(1, abs=1 / 255)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("tag", [281, 341])
def test_sensor_values_in_16_bits_fill_the_range_that_the_file_declares(tmp_path, bits, tag):
    values = (RAMP * (2**bits - 1)).round().astype(np.uint16)
    data = tiff(values, photometric="minisblack", extratags=[(tag, 3, 1, 2**bits - 1, True)])
    picture = decode(data, name="y.tif")
    assert picture.x[0, 0].numpy() == pytest.approx(RAMP, abs=2 / 2**bits)
    assert any(f"{bits} bits" in note for note in picture.notes)
    write(tmp_path / "x.tif", picture)  # the written file has no such tag, and fills its type
    assert read(tmp_path / "x.tif").x == pytest.approx(picture.x, abs=1e-4)
    given = decode(data, name="y.tif", range=(0, 65535))
    assert given.x.max() == pytest.approx((2**bits - 1) / 65535)


def test_packed_samples_of_12_bits():
    data = tagged_tiff(pack_bits((RAMP * 4095).round().astype(np.int64), 12), {258: (3, 12)})
    assert decode(data, name="y.tif").x[0, 0].numpy() == pytest.approx(RAMP, abs=1e-3)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_16_bits_in_which_white_is_zero(compression):
    data = bytearray(pillow_tiff((65535 * RAMP).round().astype(np.uint16), compression=compression))
    data[data.index(struct.pack("<HHI", 262, 3, 1)) + 8] = 0
    assert decode(bytes(data), name="y.tif").x[0, 0].numpy() == pytest.approx(1 - RAMP, abs=1e-4)


@pytest.mark.parametrize("array", [RAMP.astype(np.float32), np.stack([RAMP.astype(np.float32)] * 3, -1)])
def test_values_without_a_photometric_interpretation(array):
    data = bytearray(tiff(array, photometric="minisblack" if array.ndim == 2 else "rgb"))
    at = data.index(struct.pack("<HHI", 262, 3, 1))
    data[at : at + 2] = struct.pack("<H", 261)  # an unknown tag in its place
    x = decode(bytes(data), name="y.tif").x[0].movedim(0, -1).numpy()
    assert x.squeeze() == pytest.approx(array)


@pytest.mark.parametrize("bits", [10, 14])
def test_packed_samples_that_cannot_be_read_name_the_extra(bits):
    pytest.importorskip("tifffile")
    data = tagged_tiff(pack_bits((RAMP * (2**bits - 1)).astype(np.int64), bits), {258: (3, bits)})
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        with pytest.raises(DataError, match=rf"is {bits}-bit MINISBLACK .*rgmkit\[codecs\]"):
            decode(data, name="y.tif")
    else:
        assert decode(data, name="y.tif").x[0, 0].numpy() == pytest.approx(RAMP, abs=1e-2)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint32])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_integers_of_unknown_scale_need_a_range(dtype, compression):
    array = np.array([[-100, 0], [50, 100]]).astype(dtype) if np.iinfo(dtype).min else np.array([[0, 50]], dtype)
    data = tiff(array, photometric="minisblack", compression=compression)
    with pytest.raises(DataError, match="says nothing of its range"):
        decode(data, name="y.tif")
    assert decode(data, name="y.tif", range=(-100, 100)).x[0, 0].numpy() == pytest.approx((array + 100.0) / 200)


def test_32_bit_integers_that_pillow_reads_need_a_range():
    data = pillow_tiff(np.array([[0, 50000]], np.int32), compression="tiff_lzw")
    with pytest.raises(DataError, match="says nothing of its range"):
        decode(data, name="y.tif")
    assert decode(data, name="y.tif", range=(0, 100000)).x.max() == 0.5


def test_16_bit_pgm_fills_its_range():
    values = (RAMP * 65535).round().astype(">u2")
    assert decode(b"P5 8 8 65535\n" + values.tobytes(), name="y.pgm").x[0, 0].numpy() == pytest.approx(RAMP, abs=1e-4)
    few = (RAMP * 4095).round().astype(">u2")
    assert decode(b"P5 8 8 4095\n" + few.tobytes(), name="y.pgm").x[0, 0].numpy() == pytest.approx(RAMP, abs=1e-3)


@pytest.mark.parametrize("white", [255, 4095, 65535])
def test_a_colour_ppm_keeps_its_depth(white):
    values = (np.random.default_rng(0).random((5, 7, 3)) * white).round().astype(">u2")
    stored = values.astype(np.uint8) if white == 255 else values
    numbers = b"# a comment\n" + " ".join(map(str, values.ravel())).encode()
    for data in (b"P6 7 5 %d\n" % white + stored.tobytes(), b"P3 7 5 %d\n" % white + numbers):
        picture = decode(data, name="y.ppm")
        assert picture.bits == (8 if white == 255 else 16)
        assert picture.x[0].permute(1, 2, 0).numpy() == pytest.approx(values / white, abs=1e-5)
    with pytest.raises(DataError, match="cut off"):
        decode(b"P6 7 5 %d\n" % white + stored.tobytes()[:-2], name="y.ppm")


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_transparent_grey_of_a_png(depth):
    grey = (np.arange(64).reshape(8, 8) % 2**depth).astype(np.int64)
    data = png(grey, depth=depth, colour_type=0, chunks=[(b"tRNS", struct.pack(">H", 1))])
    picture = decode(data, name="y.png")
    assert picture.x[0, 0].numpy() == pytest.approx(grey / (2**depth - 1), abs=1e-6)
    assert (picture.alpha[0, 0].numpy() == (grey != 1)).all()


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_only_as_many_bits_of_the_transparent_grey_count_as_a_pixel_has(depth):
    grey = (np.arange(64).reshape(8, 8) % 2**depth).astype(np.int64)
    data = png(grey, depth=depth, colour_type=0, chunks=[(b"tRNS", struct.pack(">H", 0xFF00 + 2**8 - 2**depth + 1))])
    assert (decode(data, name="y.png").alpha[0, 0].numpy() == (grey != 1)).all()


@pytest.mark.parametrize("depth", [8, 16])
def test_the_transparent_colour_of_a_png(depth):
    white = 2**depth - 1
    rows = np.stack([np.arange(16).reshape(4, 4)] * 3, -1).astype(np.int64) + white // 2
    colour = rows[1, 2].tolist()
    rows[0, 0] = [*colour[:2], colour[2] + 1]  # another colour in one value
    picture = decode(png(rows, depth=depth, colour_type=2, chunks=[(b"tRNS", struct.pack(">3H", *colour))]), name="y")
    assert picture.alpha[0, 0].sum() == 15 and picture.alpha[0, 0, 1, 2] == 0
    assert picture.x[0].movedim(0, -1).numpy() == pytest.approx(rows / white, abs=1e-6)


def raw_files(tmp_path):
    thumbnail = np.zeros((8, 8, 3), np.uint8)
    sensor = np.zeros((32, 32), np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.nef") as file:
        file.write(thumbnail, photometric="rgb", subifds=1, subfiletype=1)
        file.write(
            sensor, photometric="cfa", extratags=[(33421, 3, 2, (2, 2), True), (33422, 1, 4, (0, 1, 1, 2), True)]
        )
    tifffile.imwrite(tmp_path / "b.dng", thumbnail, photometric="rgb", extratags=[(50706, 1, 4, (1, 4, 0, 0), True)])
    tifffile.imwrite(tmp_path / "c.dng", sensor, photometric="cfa")
    (tmp_path / "d.cr2").write_bytes(tagged_tiff(b"CR\x02\0" + bytes(60), {258: (3, 8)}))
    return ["a.nef", "b.dng", "c.dng", "d.cr2"]


def test_the_thumbnail_of_a_raw_file_is_not_the_picture(tmp_path):
    for name in raw_files(tmp_path):
        with pytest.raises(DataError, match="raw file of a camera: develop it"):
            read(tmp_path / name)


def profile(name):
    made = ImageCms.createProfile("sRGB" if name == "sRGB" else "LAB")
    return ImageCms.ImageCmsProfile(made).tobytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_colour_profile_that_is_not_used_is_noted(kind):
    image = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    for name, count in (("sRGB", 0), ("LAB", 1)):
        file = io.BytesIO()
        image.save(file, kind, icc_profile=profile(name))
        notes = decode(file.getvalue(), name="y").notes
        assert sum("colour profile" in note for note in notes) == count, notes
    file = io.BytesIO()
    image.save(file, kind, icc_profile=b"garbage")
    assert any("cannot be read" in note for note in decode(file.getvalue(), name="y").notes)


def odd_exif():
    ratio = exif((0x0112, 3, 1, b"\1\0"), (0x011A, 10, 1, b"\0\0\0\0"))
    at = struct.pack("<I", ratio[1])
    return {
        "garbage": b"II*\0\xff\xff\xff\xff garbage",
        "no header": b"garbage",
        "empty": b"",
        "ASCII": exif((0x0112, 2, 2, b"6\0"))[0],
        "two": exif((0x0112, 3, 2, b"\1\0\6\0"))[0],
        "float": exif((0x0112, 11, 1, struct.pack("<f", 6.0)))[0],
        "large": exif((0x0112, 3, 1, b"\xff\0"))[0],
        "resolution": exif((0x0112, 3, 1, b"\1\0"), (0x011A, 2, 4, b"abc\0"), (0x0128, 2, 2, b"x\0"))[0],
        "-1/0": exif((0x0112, 3, 1, b"\1\0"), (0x011A, 10, 1, at), (0x011B, 10, 1, at), (0x0128, 3, 1, b"\2\0"))[0],
    }


@pytest.mark.parametrize("kind", list(odd_exif()))
def test_a_picture_with_metadata_that_cannot_be_read_is_read(kind):
    picture = decode(jpeg(odd_exif()[kind]), name="y.jpg")
    assert picture.x[0, 0].numpy() == pytest.approx(RAMP, abs=0.03)
    noted = kind in ("ASCII", "float", "large")
    assert any("as it is stored" in note for note in picture.notes) or not noted


@pytest.mark.parametrize(
    "tags",
    [
        {274: (2, ord("6"))},
        {274: (3, 600)},
        {282: (2, ord("a")), 283: (2, ord("a"))},
        {282: (10, 72), 283: (10, 72), 296: (3, 2)},
        {282: (5, 80), 283: (5, 80), 296: (2, ord("x"))},
    ],
)
def test_a_tiff_with_tags_that_cannot_be_read_is_read_and_written(tmp_path, tags):
    pixels = (255 * RAMP).round().astype(np.uint8).tobytes()
    data = tagged_tiff(pixels + struct.pack("<iiII", -1, 0, 72, 1), {258: (3, 8), 279: (4, 64)} | tags)
    picture = decode(data, name="y.tif")
    assert picture.x[0, 0].numpy() == pytest.approx(RAMP, abs=0.01)
    assert picture.notes
    write(tmp_path / "x.tif", picture)
    assert torch.equal(read(tmp_path / "x.tif").x, picture.x)


def test_training_reads_pictures_whose_metadata_is_damaged(tmp_path):
    for name, content in odd_exif().items():
        (tmp_path / f"{name.replace('/', ' ')}.jpg").write_bytes(jpeg(content))
    data = Folder(path=tmp_path, size=8, channels="grey")
    assert data.batch(len(odd_exif()), seed=0, step=0).std() > 0.2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "HDF5 file: save the array as .npy"),
        (b"MATLAB 7.3 MAT-file, Platform" + b" " * 99, "h5py"),
        (b"MATLAB 5.0 MAT-file, Platform" + b" " * 99, "scipy.io.loadmat"),
        (b"\0" * 128 + b"DICM" + b"\0" * 99, "pydicom"),
        (b"SIMPLE  =                    T".ljust(2880), "FITS file: .* astropy"),
        (b"PK\x03\x04" + b"\0" * 99, "archive, such as .npz"),
        (b"\x1f\x8b\x08" + b"\0" * 99, "gzip"),
        (b"Salted__" + b"\0" * 99, "encrypted"),
        (b"FUJIFILMCCD-RAW " + b"\0" * 99, "raw file of a camera"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 99, "HEIC"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"\xc5\xd0\xd3\xc6" + b"\0" * 99, "PostScript"),
    ],
)
def test_what_is_known_and_not_read_says_what_to_convert_it_to(data, words):
    with pytest.raises(DataError, match=words) as raised:
        decode(data, name="y.h5")
    assert str(raised.value).startswith("y.h5 is ") and "\n" not in str(raised.value)


def test_compressions_that_are_missing_or_unknown_are_named():
    data = bytearray(tiff(np.zeros((8, 8, 3), np.uint16), photometric="rgb", compression="zlib"))
    at = data.index(struct.pack("<HHI", 259, 3, 1)) + 8
    for code, name in ((50000, "ZSTD"), (4242, "4242")):
        data[at : at + 2] = struct.pack("<H", code)
        with pytest.raises(
            DataError, match=rf"is 16-bit RGB with the compression {name}: pip install 'rgmkit\[codecs\]'"
        ):
            decode(bytes(data), name="y.tif")
