"""The grids of examples/tables, on small pictures and with small random networks."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from rgmkit.experiments.plan import make_plan

ROOT = Path(__file__).parents[1]
GRIDS = sorted((ROOT / "examples/tables").glob("*.yaml"))
PICTURES = {
    "L": ["Set12/01.png", "BSD68/test001.png"]
    + [f"classic5/{name}.bmp" for name in ("baboon", "barbara", "boats", "lena", "peppers")],
    "RGB": ["CBSD68/1.png", "Kodak24/kodim01.png", "Set3C/leaves.png", "Set5/baby.png"],
}


def random_layers(taken: int, given: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    weights = [0.1 * rng.standard_normal(shape) for shape in ((3, 3, taken, 4), (3, 3, 4, given))]
    return [array.astype(np.float32) for array in weights]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a picture of each set, kernels and networks."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    for mode, names in PICTURES.items():
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            side = 256 if name.startswith("CBSD68") else 48
            shape = (side, side) if mode == "L" else (side, side, 3)
            Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(folder / name)
    (folder / "kernels").mkdir()
    (folder / "weights").mkdir()
    for i in range(1, 9):
        np.save(folder / f"kernels/k{i}.npy", rng.random((5, 7)))
    for name, channels in (("gray", 1), ("color", 3)):
        cells = np.empty(2, dtype=object)
        for i, weight in enumerate(random_layers(4 * channels + 1, 4 * channels)):
            pair = np.empty(2, dtype=object)
            pair[0], pair[1] = weight, np.zeros(weight.shape[-1], np.float32)
            cells[i] = {"type": "conv", "weights": pair}
        scipy.io.savemat(folder / f"weights/FFDNet_{name}.mat", {"net": {"layers": cells}})
    for std in (15, 25, 50):
        arrays = {f"w{i}": weight.transpose(3, 2, 0, 1) for i, weight in enumerate(random_layers(1, 1))}
        biases = {f"b{i}": np.zeros(size, np.float32) for i, size in enumerate((4, 1))}
        np.savez(folder / f"weights/DnCNN_sigma{std}.npz", **arrays, **biases)
    return folder


@pytest.mark.parametrize("grid", GRIDS, ids=[grid.stem for grid in GRIDS])
def test_each_grid_fits_its_pictures_and_networks(grid, folder, tmp_path):
    plan = make_plan(grid, out=tmp_path / "run", overrides=[f"folder={folder}"])
    assert plan.cells and not plan.unfit
    assert not (tmp_path / "run").exists()


def test_one_command_makes_the_pages(folder, tmp_path, monkeypatch):
    made = runpy.run_path(str(ROOT / "docs/results/make.py"))
    main = made["main"]
    monkeypatch.setitem(main.__globals__, "HERE", tmp_path)
    arguments = ["make.py", str(folder), str(tmp_path / "runs"), "--only", "denoising_grey"]
    monkeypatch.setattr("sys.argv", arguments)
    main()
    page = (tmp_path / "tables/denoising_grey.md").read_text()
    assert "| *DRUNet*, published [1] | *33.25* | *30.94* | *27.90* | *31.91* | *29.48* | *26.59* |" in page
    overview = page.partition("## Mean PSNR (dB)")[2].partition("\n## ")[0]
    for method in ("TV", "photographs", "FFDNet", "DnCNN"):
        (row,) = [line for line in overview.splitlines() if line.startswith(f"| {method} |")]
        assert row.count("|") == 8 and "–" not in row
    stored = json.loads((tmp_path / "tables/denoising_grey.json").read_text())
    assert len(stored["measured"]) == 5 * 6 and len(stored["published"]) == 5 * 6

    cells = {cell: cell.stat().st_mtime_ns for cell in (tmp_path / "runs/denoising_grey/cells").iterdir()}
    monkeypatch.setattr("sys.argv", [*arguments, "--again", "FFDNet"])
    main()
    again = {cell.name for cell, time in cells.items() if cell.stat().st_mtime_ns != time}
    assert again == {cell.name for cell in cells if cell.stem.endswith("ffdnet")} and len(again) == 6
