"""Write docs/reliability.md from the JSON files beside this script: `python docs/results/reliability.py`.

`python tests/fuzz/fuzz_all.py --out docs/results/fuzz.json` makes the first, `python tests/fuzz/faults.py --out
docs/results/faults.json` the second, `make mutants` mutants.json, and `make load` load.json.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE, MUTANTS = HERE.parent / "reliability.md", HERE / "mutants.json"
FUZZ = ("refused", "answered", "traceback", "nonsense", "longer than 10 s", "more than 2 GiB", "bad message")
PICTURE_FATES = ("alike", "not alike", "only rgmkit reads it", "only Pillow reads it", "refused by both", "traceback")
FATES = ("run", "killed", "timed out", "survived at first", "survived")
KINDS = ("SIGKILL", "SIGTERM", "SIGINT", "full disk", "two at once")
LOSSES = ("ended before", "lost", "half-written", "leftovers", "traceback")
TEXT = """# Reliability

Written by `python docs/results/reliability.py`; a test keeps it current.
[SECURITY.md](../SECURITY.md) says what is trusted.

## Bad input

`make fuzz` puts bad inputs through every door: components whose options hypothesis draws from the signatures of their
constructors, fitting and hostile, nested, as mappings, texts and damaged texts; YAML files with replaced values and
damaged text; pictures, arrays, archives, weights, model folders and folders of runs with bytes replaced, doubled and
cut off; arrays of any shape and type; command lines with words replaced. Each should be answered, or refused in one
line that says why, within 10 seconds of computing and 2 GiB (20 seconds and 3 GiB for the last row, each a process with
its imports). A short part of it is among the tests.

{fuzz}

"Answered" is right for what was harmless: a damaged byte of a comment, or an option in its range. An answer that is not
finite would be nonsense.

The table is that of one run with a new seed. What this run and the one before it had found, noise of 1e-308 photons and
a median filter on a single pixel, was mended, and the row drawn again. An evaluation whose options are the defaults
takes minutes of honest work, and is not drawn.
"""
INTERRUPTIONS = """
## Interruptions

`python tests/fuzz/faults.py` interrupts tiny jobs at random moments, gives the same command again (a training with
`--resume`), and compares what it writes, byte by byte, with what it writes without interruption. Files have to be whole
at any moment, and no temporary file may stay after SIGTERM and SIGINT, or after the second command. A few jobs ended
before the signal came, or found room on the disk. The first run had one traceback, of an image library after Ctrl-C; it
has been mended, and the table is that of a run since, with another seed. A full disk is a tmpfs of a random size
between that of what the command is given and that of what it leaves, with room again for the second command; two at
once are the same command twice in the same folder, the second after a random time.

{faults}
"""
LOAD = """
## Large jobs

`make load` does each job at growing sizes, each in a process of its own on one thread: seconds of computing, and the
peak of memory above what the process had before. What a unit takes should not grow with the job.

{load}

Cells are pictures of 8 by 8 pixels, restored by two methods; pictures of the data sets are as small, and 20 batches of
16 are read after they were found; a giant is a square of so many rows, of which as many crops are read. Plugins are
distributions of their own. A row is one of 8,000 grey pixels, restored in two iterations of TV, or by one evaluation of
a network in tiles of 512 pixels. Not measured to the end, on a slow machine: the restoration of 96 million pixels,
which held about 9 GiB, and 100,000 digits, which would take five minutes. Memory grows with a list of 200,000 names, by
half a kilobyte for each, and with the picture.

One job is not flat: TV takes twice as long for a row of the larger picture. Of the largest one, until it was stopped,
71 % of the time was the system's, presumably since it hands out memory anew for each large array.
"""
PICTURES = """
## Picture files

`python tests/fuzz/public_pictures.py` reads the {count} files among the test images of Pillow 13 and the samples in
installed packages, and compares colours and transparency with what Pillow reads, to three of 255 steps.

{pictures}

What only Pillow reads are integers without a range, FITS, CMYK and compressed colours of 16 bits, and a damaged file;
each is refused in one line. What both refuse is damaged, unknown, or no picture.
"""
MUTATIONS = """
## Mutation testing

`make mutants` draws {count} mutants (seed {seed}) of the core, the solvers, training, plugins and configuration with
the operators of [mutmut](https://mutmut.readthedocs.io): a number plus one, an operator exchanged, an argument left out
or `None`, a text changed, a condition forced. Not drawn is what has no effect, or only on what is said: type
annotations, imports, decorators, `__all__`, docstrings and other texts with a space, what errors and warnings say,
assertions for the type checker, `strict=True` of `zip`, and calls of `len` and `isinstance`. Each mutant meets the
tests that run its line until one fails; for a default these are the tests of its function, for a constant those of the
functions that name it. Tests of pages, packages and examples, and those that start processes, are left out. A mutant is
timed out, which counts as killed, when its tests take five times as long as usual.

{mutants}

{share:.1f} % of {run} are killed; the code of the other {gone} has been deleted since they were drawn. "Survived at
first" counts those that passed the quick tests, up to six seconds of them. They then met the slow tests and the other
tests of their module, and new ones where all passed. As a check, 57 of the killed (drawn with seed 1) met the test that
had killed them once more: it passes without each of them, and fails with it. These survive, and all have been looked
at:

{survivors}
"""


def make_page() -> str:
    """Return the text of the page."""
    fuzz = json.loads((HERE / "fuzz.json").read_text())["doors"]
    inputs = {name: (sum(found.values()), *_pick(found, FUZZ)) for name, found in fuzz.items()}
    page = TEXT.format(fuzz=_format(("input", "all", *FUZZ), inputs))
    faults = json.loads((HERE / "faults.json").read_text())["jobs"]
    rows = {name: _pick(found, KINDS + LOSSES) for name, found in faults.items()}
    page += INTERRUPTIONS.format(faults=_format(("command", *KINDS, *LOSSES), rows))
    page += _describe_pictures(json.loads((HERE / "pictures.json").read_text()))
    page += LOAD.format(load=_format_load(json.loads((HERE / "load.json").read_text())))
    if MUTANTS.exists():
        page += _describe_mutants(json.loads(MUTANTS.read_text()))
    return page


def _describe_pictures(found: Mapping[str, Mapping[str, int]]) -> str:
    rows = {name: _pick(counts, PICTURE_FATES) for name, counts in found.items()}
    table = _format(("source", *PICTURE_FATES), rows)
    return PICTURES.format(count=f"{sum(map(sum, rows.values())):,}", pictures=table)


def _describe_mutants(found: Mapping[str, Any]) -> str:
    rows = {name: _pick(counts, FATES) for name, counts in found["packages"].items()}
    run, _, _, _, survived = map(sum, zip(*rows.values(), strict=True))
    lines = ["| line | change | why |", "| --- | --- | --- |"]
    for each in found["survivors"]:
        change = each["change"].replace("|", "\\|")
        lines.append(f"| {each['file']}:{each['line']} | `{change}` | {each['why']} |")
    table, share = _format(("package", *FATES), rows), 100 * (1 - survived / run)
    head = {name: found[name] for name in ("count", "seed")}
    return MUTATIONS.format(
        **head, run=run, gone=found["count"] - run, mutants=table, share=share, survivors="\n".join(lines)
    )


def _pick(found: Mapping[str, int], names: Sequence[str]) -> tuple[int, ...]:
    return tuple(Counter(found)[name] for name in names)


def _format(head: Sequence[str], rows: Mapping[str, tuple[int, ...]]) -> str:
    total = tuple(map(sum, zip(*rows.values(), strict=True)))
    return _join(head, [*([name, *row] for name, row in rows.items()), ["all", *total]])


def _format_load(jobs: Mapping[str, Any]) -> str:
    rows = [
        (name, f"{row['size']:,} {job['unit']}s", f"{row['seconds']:.1f}", f"{1000 * row['seconds'] / row['size']:.2g}",
         f"{row['mib']:.0f}")
        for name, job in jobs.items() for row in job["rows"]
    ]  # fmt: skip
    return _join(("job", "size", "seconds", "milliseconds a unit", "MiB"), rows)


def _join(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(make_page())
