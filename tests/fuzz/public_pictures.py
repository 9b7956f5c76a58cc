"""Read all files of folders as pictures, and compare them with what Pillow reads.

    python tests/fuzz/public_pictures.py NAME=FOLDER … [--out FILE.json]

Folders of public samples: `Tests/images` in the source archive of Pillow (`pip download --no-binary :all: --no-deps
pillow`), and those of installed packages. Exit code 1 if a file is read wrong, or refused in more than one line.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from rgmkit.errors import RgmkitError
from rgmkit.images import Picture, read

RIGHT, ALONE, BOTH, ONLY = "alike", "only rgmkit reads it", "refused by both", "only Pillow reads it"
WRONG, RAISED, LINES = "not alike", "traceback", "refused in several lines"
NEAR, CLEAR = 0.012, 0.02  # a difference that is none: three of 255 steps; alpha below which colours do not count


def read_with_pillow(file: Path) -> np.ndarray | None:
    """Return the first frame of a picture upright, (H, W) or (H, W, 4), in [0, 1]; None if Pillow does not read it."""
    try:
        with Image.open(file) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith(("I", "F")):
                return np.asarray(image) / (1 if image.mode == "F" else 65535)
            return np.asarray(image.convert("RGBA")) / 255
    except Exception:
        return None


def is_alike(picture: Picture, expected: np.ndarray) -> bool:
    """Whether colours and transparency are those that Pillow reads."""
    x = picture.x[0].movedim(0, -1).numpy()
    if expected.ndim == 2:
        return x.shape[:2] == expected.shape and bool(np.abs(x[..., 0] - expected).max() < NEAR)
    alpha, given = expected[..., 3], picture.alpha
    if x.shape[:2] != alpha.shape:
        return False
    seen = alpha[..., None] > CLEAR
    transparency = 1 if given is None else given[0, 0].numpy()
    return bool(np.abs((x - expected[..., :3]) * seen).max() < NEAR and np.abs(transparency - alpha).max() < NEAR)


def classify(file: Path) -> tuple[str, str]:
    """Return what came of a file, and why."""
    expected = read_with_pillow(file)
    try:
        picture = read(file)
    except RgmkitError as error:
        why = str(error)
        return (LINES if "\n" in why else BOTH if expected is None else ONLY), why
    except Exception as error:
        return RAISED, repr(error)
    if expected is None:
        return ALONE, repr(picture)
    return (RIGHT if is_alike(picture, expected) else WRONG), repr(picture)


def main() -> None:
    """Read the files, print those that are not alike, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    table: dict[str, Counter[str]] = {}
    for name, _, folder in (given.partition("=") for given in options.folders):
        table[name] = Counter()
        for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            outcome, why = classify(file)
            table[name][outcome] += 1
            if outcome not in (RIGHT, BOTH):
                print(f"{outcome}: {why}", flush=True)
    print(table)
    if options.out:
        options.out.write_text(json.dumps(table, indent=1) + "\n")
    sys.exit(any(counts[fault] for counts in table.values() for fault in (WRONG, RAISED, LINES)))


if __name__ == "__main__":
    main()
