"""Files that are known and not read: what they are, and what to do with them."""

from __future__ import annotations

SAVE = "save the array as .npy or TIFF"
RAW = "a raw file of a camera: develop it, or save the values of its sensor as 16-bit TIFF (with rawpy)"
POSTSCRIPT = "a PostScript file, a program that is not run: convert it to PNG or TIFF"
LOCKED = "encrypted: decrypt it first"

SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", f"an HDF5 file: {SAVE}, with h5py"),
    (0, b"MATLAB 7.3 MAT-file", f"a MATLAB file of version 7.3: {SAVE}, with h5py"),
    (0, b"MATLAB 5.0 MAT-file", f"a MATLAB file: {SAVE}, with scipy.io.loadmat"),
    (128, b"DICM", f"a DICOM file: {SAVE}, with pydicom"),
    (0, b"SIMPLE  =", f"a FITS file: {SAVE}, with astropy.io.fits, which applies its zero and scale"),
    (344, b"n+1\0", f"a NIfTI file: {SAVE}, with nibabel"),
    (0, b"NRRD000", f"an NRRD file: {SAVE}, with pynrrd"),
    (0, b"CDF\x01", f"a NetCDF file: {SAVE}, with xarray"),
    (0, b"CDF\x02", f"a NetCDF file: {SAVE}, with xarray"),
    (0, b"ZISRAWFILE", f"a CZI file of a microscope: {SAVE}, with czifile"),
    (0, b"\xda\xce\xbe\x0a", f"an ND2 file of a microscope: {SAVE}, with nd2"),
    (0, b"\x76\x2f\x31\x01", f"an OpenEXR file: {SAVE}, with OpenEXR"),
    (0, b"PK\x03\x04", "an archive, such as .npz: unpack it, or save one array as .npy"),
    (0, b"\x1f\x8b", "compressed by gzip: unpack it first"),
    (0, b"BZh", "compressed by bzip2: unpack it first"),
    (0, b"\xfd7zXZ\0", "compressed by xz: unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first"),
    (0, b"Salted__", LOCKED),
    (0, b"age-encryption.org", LOCKED),
    (0, b"-----BEGIN PGP MESSAGE", LOCKED),
    (0, b"%PDF", "a PDF: save the picture in it as PNG or TIFF"),
    (0, b"%!PS", POSTSCRIPT),
    (0, b"\xc5\xd0\xd3\xc6", POSTSCRIPT),
    (4, b"ftyphei", "a HEIC picture: save it as PNG, TIFF or JPEG"),
    (0, b"\xff\x0a", "a JPEG XL picture: save it as PNG or TIFF"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture: save it as PNG or TIFF"),
    (4, b"ftypcrx ", RAW),
    (0, b"FUJIFILMCCD-RAW", RAW),
    (0, b"IIRO", RAW),
    (0, b"IIRS", RAW),
    (0, b"IIU\0", RAW),
    (0, b"FOVb", RAW),
)
"""Position, first bytes, and description of formats."""


def describe_foreign(data: bytes) -> str | None:
    """Describe a file whose format is known and not read, and say what to convert it to; None for others.

    >>> describe_foreign(b"%PDF-1.7")
    'a PDF: save the picture in it as PNG or TIFF'
    """
    return next((words for start, mark, words in SIGNATURES if data[start : start + len(mark)] == mark), None)
