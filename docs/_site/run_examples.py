"""Run the scripts of examples/ and keep what they print and draw, for the gallery.

    python docs/_site/run_examples.py [NAME …]

Each script runs in a folder of its own. Seconds are left out, so that another run prints the same.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from gallery import RUNS, list_examples
from PIL import Image

WIDTH = 960
SECONDS = re.compile(r" in [\d.]+ s\b")


def run(script: Path) -> None:
    """Run one script, and write its text and its picture to docs/gallery."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MPLBACKEND": "Agg"}
        command = [sys.executable, "-W", "ignore", str(script)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        (RUNS / f"{script.stem}.txt").write_text(SECONDS.sub("", done.stdout), encoding="utf-8")
        for picture in sorted(Path(folder).glob("*.png"))[:1]:
            save(picture, RUNS / f"{script.stem}.webp")


def save(picture: Path, file: Path) -> None:
    """Write a picture as WebP, enlarged by a whole number if it is small."""
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    factor = max(1, WIDTH // (2 * image.width))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    image.save(file, quality=88, method=6)


if __name__ == "__main__":
    RUNS.mkdir(exist_ok=True)
    for script in list_examples():
        if len(sys.argv) == 1 or script.stem in sys.argv[1:]:
            run(script)
            print(script.stem, flush=True)
