"""Put thousands of bad inputs through every door of rgmkit, and count what comes of them.

    python tests/fuzz/fuzz_all.py [--count 5000] [--processes 300] [--seed 0] [--only NAME …] [--out FILE.json]

Inputs are drawn by hypothesis from the signatures of all components, and by damage to real files. `--processes` command
lines run in processes of their own. Exit code 1 if there is a fault: its input is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fuzz_doors import Door, draw_commands, make_doors
from fuzz_judge import ANSWERED, FAULTS, Table, check_message, judge, small_machine
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

MOST_SECONDS = 20  # of computing, 10 of them to import all on a slow machine
MOST_MEMORY = 3 * 2**20  # KiB, with 1 GiB for the libraries


def draw_all(door: Door, count: int, number: int, use: Any) -> None:
    """Draw inputs for a door, and use each."""

    @seed(number)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate], verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(door.inputs)
    def draw(value: Any) -> None:
        use(value)

    draw()


def fuzz(table: Table, folder: Path, count: int, number: int, only: list[str] | None = None) -> None:
    """Put about `count` inputs through the doors."""
    doors = make_doors(folder)
    total = sum(door.share for door in doors)
    for door in doors if count else ():
        if only and not any(word in door.name for word in only):
            continue
        began = time.perf_counter()
        share = max(1, round(count * door.share / total))
        draw_all(door, share, number, lambda value, door=door: judge(table, door.name, value, door.act))
        seconds = time.perf_counter() - began
        print(f"{door.name}: {dict(table.counts[door.name])}, {seconds:.0f} s", file=sys.stderr, flush=True)


def fuzz_processes(table: Table, folder: Path, count: int, number: int) -> None:
    """Run command lines in processes of their own."""
    kind, lines = "command lines, each a process", []
    draw_all(Door(kind, draw_commands(), print), 2 * count, number + 1, lines.append)
    for words in lines[:count]:
        command = [sys.executable, "-m", "rgmkit", *words]
        with tempfile.TemporaryFile("w+", errors="replace") as said:
            child = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS + 5)),
            )  # fmt: skip
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            text = said.read()
        lines_said = [line for line in text.splitlines() if not line.startswith(("note: ", "warning: "))]
        outcome, why = ANSWERED, ""
        if child.returncode == -signal.SIGXCPU:
            outcome, why = "longer than 10 s", text
        elif "Traceback" in text or child.returncode not in (0, 1, 2):
            outcome, why = "traceback", f"{child.returncode} {text}"
        elif usage.ru_maxrss > MOST_MEMORY:
            outcome, why = "more than 2 GiB", f"{usage.ru_maxrss} KiB"
        elif child.returncode == 2:
            outcome, why = check_message("\n".join(lines_said))
        table.add(kind, outcome, words, why)


def main() -> None:
    """Run the fuzzing, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--processes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    out, table = options.out and options.out.resolve(), Table()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "inside" / "inside"
        folder.mkdir(parents=True)
        with small_machine(folder):
            fuzz(table, folder, options.count, options.seed, options.only)
            if options.processes:
                fuzz_processes(table, folder, options.processes, options.seed)
        for outside in [*Path(name).iterdir(), *folder.parent.iterdir()]:
            if outside not in (folder, folder.parent):
                table.add("all", "file outside", outside)
    for fault in table.faults:
        print(json.dumps(fault, indent=1))
    if out:
        table.write(out)
    inputs = sum(counts.total() for counts in table.counts.values())
    faults = (f"{sum(counts[fault] for counts in table.counts.values())} {fault}" for fault in FAULTS)
    print(f"{inputs} inputs: {', '.join(faults)}")
    sys.exit(bool(table.faults))


if __name__ == "__main__":
    main()
