"""Build a grid in Python, with one degradation for each noise level, write it as YAML and run it.

python write_grid.py [FOLDER]
"""

import sys
from pathlib import Path

from rgmkit.config import dump_yaml
from rgmkit.experiments import run

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    grid = {
        "data": {"skimage": ["astronaut", "coffee"], "crop": 48, "grey": True},
        "degradation": [
            {"name": f"noise {noise}", "use": "blur", "std": 1.5, "noise": noise} for noise in (0.01, 0.03, 0.1)
        ],
        "method": [{"prior": prior, "solver": "admm:iterations=10"} for prior in ("tikhonov", "wavelet", "tv")],
    }
    file = folder / "write_grid.yaml"
    file.write_text(dump_yaml(grid))  # the same as: rgmkit run write_grid.yaml -o write_grid

    results = run(file, out=folder / "write_grid", progress=False)
    for record in results.records:
        change = record.after["psnr"] - record.before["psnr"]
        print(f"{record.image:10} {record.degradation:11} {record.method:30} {change:+.2f} dB")
    print(f"tables and pictures: {results.folder / 'report.html'}")
