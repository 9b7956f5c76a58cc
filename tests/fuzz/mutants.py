"""Change the code in hundreds of places, one at a time, and count the changes that no test notices.

    python tests/fuzz/mutants.py [--count 500] [--seed 0] [--work FOLDER] [--out FILE.json] [--again TEST …]

mutmut's operators draw mutants of core, solvers, training, plugins and config. The tests run once under coverage in a
copy of the tree; then each mutant meets the tests that run its line, in a process forked from one that has imported the
libraries. (The runner of mutmut wraps functions, which hides the signatures that rgmkit reads, and leaves out decorated
functions and constants.) The same command goes on where it was interrupted. `--again` copies the tests again, and puts
the mutants that survived to the tests named, or to all that reach them, slow ones included.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from coverage import CoverageData
from mutants_draw import Mutant, draw_mutants

ROOT = Path(__file__).parents[2]
PACKAGES = [f"rgmkit/{name}" for name in ("core", "solvers", "training", "plugins", "config")]
# What starts processes of its own, which coverage does not follow, or is about pages and packages.
LEFT_OUT = (
    "fuzz", "distributed", "survival", "demo", "examples", "notebook", "packaging", "third_party", "new_plugin", "docs",
    "doc_blocks", "site", "lab_browser", "report_browser", "published", "speed",
)  # fmt: skip
LIBRARIES = (
    "torch", "torchvision", "torch.utils.data", "torchmetrics", "skimage.data", "scipy.stats", "scipy.optimize",
    "safetensors.torch", "tifffile", "matplotlib.pyplot", "deepinv", "hypothesis", "jinja2", "pluggy",
    "tqdm", "yaml", "sklearn.datasets",
)  # fmt: skip
SLOW, MOST = 2.0, 6.0  # seconds: of a test that is slow, and of all that a mutant meets the first time
KILLED, TIMED_OUT, SURVIVED = "killed", "timed out", "survived"


class Durations:
    """A plugin of pytest that writes how long each test took."""

    def __init__(self, file: Path) -> None:
        self.file, self.seconds = file, defaultdict[str, float](float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        self.file.write_text(json.dumps(self.seconds))


class Selection:
    """A plugin of pytest that runs the tests named, and writes which fail."""

    def __init__(self, names: Iterable[str], file: Path) -> None:
        self.names, self.file = set(names), file
        file.write_text("")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if {item.nodeid, item.nodeid.partition("[")[0]} & self.names]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            with self.file.open("a") as file:
                file.write(f"{report.nodeid}\n")


def copy_tree(tree: Path, *paths: str) -> None:
    """Copy what git knows of."""
    listed = subprocess.run(["git", "ls-files", "-z", *paths], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)


def run_pytest(tree: Path, log: Path, options: list[str], plugins: list[Any], seconds: float = 0.0) -> int | None:
    """Run pytest in a forked process, and return its exit code; None if it took too long."""
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(tree)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1), os.dup2(file, 2)
        if seconds:
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
            resource.setrlimit(resource.RLIMIT_DATA, (2**33, 2**33))
        base = f"--basetemp={log.parent}/tmp"
        code = pytest.main(["-p", "no:cacheprovider", "-p", "no:xdist", base, *options], plugins)
        os._exit(code)
    until = time.monotonic() + 10 * seconds
    while not (done := os.waitpid(child, os.WNOHANG if seconds else 0))[0]:
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what a test has left behind
    code = os.waitstatus_to_exitcode(done[1])
    return None if -code in (signal.SIGXCPU, signal.SIGKILL) else code


def record_coverage(work: Path, tree: Path) -> None:
    """Run the tests once, and record which of them run each line."""
    os.environ["COVERAGE_FILE"] = str(work / "coverage")
    ignored = [f"--ignore={tree}/tests/{path}" for name in LEFT_OUT for path in (name, f"test_{name}.py")]
    options = ["--cov", "--cov-context=test", "--cov-report=", "-m", "not browser", *ignored]
    run_pytest(tree, work / "coverage.log", options, [Durations(work / "seconds.json")])


class Reach:
    """Which tests run a line."""

    def __init__(self, work: Path, tree: Path) -> None:
        self.tree = tree
        self.seconds: dict[str, float] = json.loads((work / "seconds.json").read_text())
        self.functions: dict[str, list[tuple[range, range]]] = {}
        data = CoverageData(str(work / "coverage"))
        data.read()
        self.files = {name: data.contexts_by_lineno(str(tree / name)) for name in list_files(tree)}

    def find_tests(self, file: str, lines: Iterable[int]) -> set[str]:
        """Find the tests that run one of the lines of a file."""
        contexts = {context for line in lines for context in self.files[file].get(line, ())}
        return {context.rpartition("|")[0] for context in contexts} & self.seconds.keys()

    def find_functions(self, file: str) -> list[tuple[range, range]]:
        """Find the lines of the heads and of the bodies of all functions."""
        if file not in self.functions:
            found = ast.walk(ast.parse((self.tree / file).read_text()))
            self.functions[file] = [
                (range(node.lineno, node.body[0].lineno), range(node.body[0].lineno, node.end_lineno + 1))
                for node in found
                if isinstance(node, ast.FunctionDef)
            ]
        return self.functions[file]

    def find_tests_of(self, mutant: Mutant) -> set[str]:
        """Find the tests that run the line; for a default those of its function, for a constant those that name it.

        What runs only when modules are imported, or before the tests, meets those of the whole file.
        """
        functions = self.find_functions(mutant.file)
        if any(mutant.first in body for _, body in functions):
            found = self.find_tests(mutant.file, range(mutant.first, mutant.last + 1))
        elif bodies := [body for head, body in functions if mutant.first in head]:
            found = self.find_tests(mutant.file, bodies[0])
        else:
            found = self._find_tests_that_name(mutant)
        return found or self.find_tests(mutant.file, [n for _, body in functions for n in body])

    def _find_tests_that_name(self, mutant: Mutant) -> set[str]:
        names = re.findall(r"\b[^\W\d]\w+", (self.tree / mutant.file).read_text().splitlines()[mutant.first - 1])
        named = re.compile(rf"\b{names[0] if names else '$'}\b")
        found = set()
        for file in self.files:
            lines = (self.tree / file).read_text().splitlines()
            bodies = [n for _, body in self.find_functions(file) for n in body if named.search(lines[n - 1])]
            found |= self.find_tests(file, bodies)
        return found


def list_files(tree: Path) -> list[str]:
    """List the files of the package."""
    return sorted(str(path.relative_to(tree)) for path in (tree / "rgmkit").rglob("*.py"))


def choose_tests(names: Iterable[str], seconds: dict[str, float], slow: bool) -> list[str]:
    """Choose the tests that a mutant meets: all, or those that are quick, one of each function before the second."""
    if slow:
        return list(names)
    turns: dict[str, int] = defaultdict(int)
    order = []
    for name in sorted(names, key=lambda name: seconds[name]):
        turns[function := name.partition("[")[0]] += 1
        order.append((turns[function], max(seconds[name], 0.01), name))
    chosen, total = [], 0.0
    for _, cost, name in sorted(order):
        if cost <= SLOW and total + cost <= MOST:
            chosen.append(name)
            total += cost
    return chosen


def order_files(names: Iterable[str], seconds: dict[str, float]) -> list[str]:
    """Order the files of the tests by the mean time of their tests."""
    files = defaultdict(list)
    for name in names:
        files[name.split("::")[0]].append(seconds.get(name, 0.0))
    return sorted(files, key=lambda file: sum(files[file]) / len(files[file]))


def try_mutant(mutant: Mutant, names: list[str], seconds: dict[str, float], work: Path, tree: Path) -> dict[str, Any]:
    """Run the tests against a mutant until one fails."""
    if not names:
        return {"outcome": SURVIVED, "by": "", "tests": 0}
    path, failed = tree / mutant.file, work / "failed"
    kept = path.with_suffix(".kept")
    limit = 20 + 5 * sum(seconds.get(name, 2.0) for name in names)
    try:
        path.rename(kept)
        path.write_text(mutant.text)
        options = ["-x", "--no-header", "--tb=line", *order_files(names, seconds)]
        code = run_pytest(tree, work / "mutant.log", options, [Selection(names, failed)], limit)
    finally:
        kept.replace(path)
    outcome = TIMED_OUT if code is None else SURVIVED if code in (0, 5) else KILLED
    by = failed.read_text().partition("\n")[0] or f"exit code {code}" if outcome == KILLED else ""
    return {"outcome": outcome, "by": by, "tests": len(names)}


def find_unfit(names: set[str], work: Path, tree: Path) -> set[str]:
    """Find the tests that fail without a mutant, run as the mutants met them."""
    failed = work / "failed"
    names = {name for name in names if "::" in name}
    run_pytest(tree, work / "control.log", ["--tb=short", *order_files(names, {})], [Selection(names, failed)])
    return set(failed.read_text().split("\n")) & names


def write_results(out: Path, seed: int, mutants: list[Mutant], found: dict[str, dict[str, Any]]) -> None:
    """Write the counts by package, and the mutants that survive; reasons written by hand stay."""
    before = json.loads(out.read_text())["survivors"] if out.exists() else []
    why = {(each["file"], each["change"]): each["why"] for each in before}
    packages: dict[str, dict[str, int]] = {name: defaultdict(int) for name in PACKAGES}
    survivors = []
    for number, result in found.items():
        mutant = mutants[int(number)]
        counts = packages["/".join(mutant.file.split("/")[:2])]
        now = result.get("again", result["outcome"])
        counts["run"] += 1
        counts["survived at first"] += result["outcome"] == SURVIVED
        counts[now] += 1
        if now == SURVIVED:
            change = f"{mutant.old} -> {mutant.new}"
            place = {"file": mutant.file, "line": mutant.first, "change": change}
            survivors.append(place | {"why": why.get((mutant.file, change), "")})
    survivors.sort(key=lambda each: (each["file"], each["line"]))
    out.write_text(
        json.dumps({"seed": seed, "count": len(mutants), "packages": packages, "survivors": survivors}, indent=1) + "\n"
    )


def main() -> None:
    """Draw the mutants, run them, and write what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=ROOT / "mutants")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results/mutants.json")
    parser.add_argument("--again", nargs="*")
    options = parser.parse_args()
    work = options.work.resolve()
    tree, drawn, results = work / "tree", work / "drawn.json", work / "results.json"
    sys.path[:0] = [str(tree), str(tree / "plugins")]
    os.environ["PYTHONPATH"] = f"{tree}:{tree}/plugins"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in LIBRARIES:
        importlib.import_module(name)
    for kept in tree.rglob("*.kept"):
        kept.replace(kept.with_suffix(".py"))  # a mutant at which an earlier run was killed
    if not tree.exists():
        copy_tree(tree)
    if not (work / "seconds.json").exists():
        record_coverage(work, tree)
    if not drawn.exists():
        made = draw_mutants(tree, PACKAGES, options.count, options.seed)
        drawn.write_text(json.dumps([asdict(mutant) for mutant in made]))
    mutants = [Mutant(**mutant) for mutant in json.loads(drawn.read_text())]
    found: dict[str, dict[str, Any]] = json.loads(results.read_text()) if results.exists() else {}
    reach = Reach(work, tree)
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

    def attempt(number: str, names: list[str]) -> dict[str, Any]:
        mutant = mutants[int(number)]
        result = try_mutant(mutant, names, reach.seconds, work, tree)
        change = f"{mutant.old[:60]} -> {mutant.new[:60]}"
        print(number, mutant.file, mutant.first, change, *result.values(), sep=" | ", flush=True)
        return result

    def save() -> None:
        results.write_text(json.dumps(found, indent=0))

    while left := [str(n) for n in range(len(mutants)) if str(n) not in found]:
        for number in left:
            names = reach.find_tests_of(mutants[int(number)])
            found[number] = attempt(number, choose_tests(names, reach.seconds, slow=False))
            save()
        unfit = find_unfit({result["by"] for result in found.values()}, work, tree)
        print("fail without a mutant:", *unfit)
        reach.seconds = {name: seconds for name, seconds in reach.seconds.items() if name not in unfit}
        found = {number: result for number, result in found.items() if result["by"] not in unfit}
        save()
    if options.again is not None:
        copy_tree(tree, "tests")
        for number, result in found.items():
            if result.get("again", result["outcome"]) == SURVIVED:
                names = reach.find_tests_of(mutants[int(number)])
                names = options.again or choose_tests(names, reach.seconds, slow=True)
                result["again"] = attempt(number, names)["outcome"]
                save()
    write_results(options.out, options.seed, mutants, found)


if __name__ == "__main__":
    main()
