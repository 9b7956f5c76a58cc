"""Write docs/conformance.md: which check finds which mistake, and what passes all checks.

    python benchmarks/conformance.py [FILE]

It takes a minute.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from conformance_cases import SHAPE, WRONG, describe_mistake, describe_right, make_right  # noqa: E402

from rgmkit.core.degradation import Degradation  # noqa: E402
from rgmkit.testing import run_checks  # noqa: E402

HEAD = """# What the conformance checks find

`python benchmarks/conformance.py` writes this page; the tests hold it to what the checks find today. See
[plugins](plugins.md#check-it) for how to run the checks on a component of your own.

## Mistakes

Each of these components is right but for one mistake. The check that is meant for the mistake finds it; others fail
with it because they build on the same method.

| mistake | found by | also fail |
|---|---|---|
"""
MIDDLE = """
## What passes

rgmkit's own components, and operators of deepinv 0.5 that are passed as they are. Checks that do not apply are
skipped: those of the adjoint for an operator that is not linear, those of a prox that a prior lacks.

| kind | component | passed | skipped | expected failures |
|---|---|---|---|---|
"""


def main(out: Path) -> None:
    """Run all checks and write the page."""
    mistakes = []
    for wrong in WRONG:
        shape = SHAPE if isinstance(wrong.component, Degradation) else None
        mistakes.append(describe_mistake(wrong, run_checks(wrong.component, shape)))
    passing = []
    for (kind, name), right in make_right().items():
        results = run_checks(right.make(), right.shape, expected_failures=right.expected_failures)
        passing.append(describe_right(kind, name, results))
        print(passing[-1], flush=True)
    out.write_text("\n".join([HEAD.rstrip(), *mistakes, MIDDLE.rstrip(), *passing, ""]), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "conformance.md")
