"""Run the grids of examples/tables, or continue them, and write their tables here.

    python docs/results/make.py FOLDER [RUNS] [--only denoising_grey jpeg …] [--again photographs …]

FOLDER holds the pictures, kernels and weights, see examples/tables/README.md; RUNS the folders of the runs, by default
runs/tables. What is done is not computed again, except for the methods that --again names: their network has changed.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from rgmkit.experiments import run
from rgmkit.experiments.result import Record

HERE = Path(__file__).parent
GRIDS = HERE.parents[1] / "examples" / "tables"


def main() -> None:
    """Run each grid, and copy its tables."""
    names = sorted(path.stem for path in GRIDS.glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("runs", nargs="?", type=Path, default=Path("runs/tables"))
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--again", nargs="+", default=[], help="labels of methods")
    options = parser.parse_args()
    (HERE / "tables").mkdir(exist_ok=True)
    for name in options.only:
        for cell in (options.runs / name / "cells").glob("*.json"):
            if Record.read(cell).method in options.again:
                cell.unlink()
        results = run(GRIDS / f"{name}.yaml", out=options.runs / name, overrides=[f"folder={options.folder.resolve()}"])
        for ending in ("md", "json"):
            shutil.copyfile(results.folder / f"results.{ending}", HERE / "tables" / f"{name}.{ending}")


if __name__ == "__main__":
    main()
