"""Generate a sheet of digits: the cascade restores pure noise, level by level.

python generate_rgm_cascade.py [FOLDER] [SEED]
"""

import sys
from pathlib import Path

import rgmkit
from rgmkit.images import make_sheet, write

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    seed = int(sys.argv[2] if len(sys.argv) > 2 else 0)

    prior = rgmkit.load("digits")
    digits = rgmkit.generate(prior, 64, solver="cascade", seed=seed)  # (64, 1, 16, 16) in [0, 1]

    file = folder / "generate_rgm_cascade.png"
    write(file, make_sheet(digits, enlarge=4))
    print(f"{len(digits)} digits of seed {seed}, {prior.process.levels} network evaluations each: {file}")
