"""A run: tune, compute the cells that are not done, write the tables and the report."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from rgmkit.experiments import folder as folders
from rgmkit.experiments.cells import Cell
from rgmkit.experiments.measure import Bench
from rgmkit.experiments.plan import Plan, make_plan
from rgmkit.experiments.result import Record
from rgmkit.experiments.tables import write_tables
from rgmkit.experiments.tuning import Log, one_line, tune
from rgmkit.runtime.device import empty_cache
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.runtime.signals import unwind_on_sigterm

log = logging.getLogger(__name__)

WAIT = timedelta(days=30)  # for the process that tunes, and for the one with the longest cells


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """What came out of a run.

    Attributes:
        folder: with cells, pictures, tables and report.
        records: one of each cell, in the order of the grid.
        main: False in the processes of a shared run that leave the tables to another.
    """

    folder: Path
    records: tuple[Record, ...]
    main: bool = True

    @property
    def failed(self) -> list[Record]:
        """The cells that were tried without an answer."""
        return [record for record in self.records if record.failed]

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r}, {len(self.records)} cells, {len(self.failed)} of them failed)"


def run(
    grid: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    device: str | torch.device = "cpu",
    overwrite: bool = False,
    progress: bool = True,
) -> Results:
    """Restore each picture of a grid, under each degradation, by each method, with each seed, and compare.

    All of the grid is checked before anything runs. Each finished cell is on the disk at once: the same call goes
    on where an earlier one was stopped, and tries failed cells again. A cell that fails is recorded with its error, and
    the rest goes on. A method that cannot take what a degradation makes is left out there, and a log line says so.

    Args:
        grid: a YAML file, or the mapping in it; in a mapping `use` and `prior` may be objects.
        out: the folder of the run. Default: `runs/<name of the file>`.
        overrides: `path=value` changes of the grid, such as `data.limit=2`.
        device: where to compute.
        overwrite: start anew where the folder holds a run.
        progress: show a progress bar on stderr.

    Raises:
        ConfigError, PluginError, CheckpointError: for a grid that does not fit, or a folder that holds something else.
        DataError, IncompatibleError: for pictures that cannot be read, or that a degradation or a method cannot take.

    >>> import tempfile
    >>> grid = {
    ...     "data": {"skimage": "camera", "crop": 32},
    ...     "degradation": "gaussian-noise:noise=0.1",
    ...     "method": [{"solver": "pinv"}, {"prior": "tv"}],
    ... }
    >>> results = run(grid, out=tempfile.mkdtemp(), progress=False)
    >>> results.records[1].after["psnr"] > results.records[0].after["psnr"]
    True
    """
    plan = make_plan(grid, out=out, overrides=overrides, overwrite=overwrite)
    with ProcessGroup.join(device, timeout=WAIT) as processes, unwind_on_sigterm():
        if processes.is_main:
            if not plan.goes_on:
                folders.begin(plan.folder, plan.grid.content, plan.facts)
            folders.sweep(plan.folder)
            _leave_out(plan)
        processes.wait()
        try:
            _tune(plan, processes, progress=progress)
            _compute(plan, processes, progress=progress)
        except KeyboardInterrupt:
            done = sum(r is not None and r.error is None for r in _records(plan))
            log.warning(f"stopped with {done} of {len(plan.cells)} cells done: the same command goes on from there")
            raise
        processes.wait()
        found = tuple(record for record in _records(plan) if record is not None)
        if processes.is_main:
            write(plan.folder, found)
    return Results(plan.folder, found, processes.is_main)


def write(folder: Path, records: Iterable[Record]) -> None:
    """Write the tables and the report of a run anew from its records."""
    from rgmkit.experiments.report import write_report

    found = list(records)
    title = folders.title(folder)
    write_tables(folder, found, title=title)
    write_report(folder, found, title=title)


def _tune(plan: Plan, processes: ProcessGroup, *, progress: bool) -> None:
    if plan.grid.tuning and processes.is_main:
        with tqdm(unit="evaluation", disable=not progress, leave=False, mininterval=0.5) as bar:

            def step(name: str) -> None:
                bar.set_description_str(name, refresh=False)
                bar.update()

            bench = Bench(processes.device, (plan.grid.tuning.metric,))
            tune(plan.grid, plan.training, bench, Log(plan.folder), step, unfit=plan.unfit)
    processes.wait()


def _leave_out(plan: Plan) -> None:
    """Record the cells of methods that do not fit a degradation, and say which these are."""
    for cell in plan.cells:
        if cell.places in plan.unfit:
            cell.record(error=plan.unfit[cell.places], fits=False).write(plan.folder / folders.CELLS)
    for (i, j), reason in plan.unfit.items():
        operator, method = plan.grid.operators[i], plan.grid.methods[j]
        log.warning(f"{method.label} is left out under {operator.label}, it does not fit: {reason}")


def _compute(plan: Plan, processes: ProcessGroup, *, progress: bool) -> None:
    """Compute this process's share of the cells that are not done."""
    bench, logged, said = Bench(processes.device, plan.grid.metrics), Log(plan.folder), set[str]()
    mine = processes.share(plan.cells)
    todo = [cell for cell in mine if cell.places not in plan.unfit and not _done(plan.folder, cell)]
    shown = progress and processes.is_main
    with tqdm(total=len(mine), initial=len(mine) - len(todo), unit="cell", disable=not shown, mininterval=0.5) as bar:
        for cell in todo:
            bar.set_description_str(cell.name)
            record = _attempted(cell, bench, logged, plan.folder)
            record.write(plan.folder / folders.CELLS)
            with tqdm.external_write_mode():
                _say(cell, record, said)
            bar.update()
        bar.set_description_str("cells")


def _attempted(cell: Cell, bench: Bench, logged: Log, folder: Path) -> Record:
    """The record of a cell, with its error if it fails."""
    try:
        return bench.compute(cell, logged.chosen(cell.operator.label, cell.method), folder)
    except Exception as error:
        log.debug("%s", cell.name, exc_info=True)
        empty_cache(bench.device)
        return cell.record(error=one_line(error))


def _say(cell: Cell, record: Record, said: set[str]) -> None:
    """Tell of a failed cell, and of a note where the method has not said the like before."""
    if record.error is not None:
        log.warning(f"{cell.name} failed: {record.error}")
    for note in record.notes:
        kind = f"{cell.method.label} {cell.operator.label} {''.join(c for c in note if c.isalpha())}"
        if kind not in said:
            said.add(kind)
            log.warning(f"{cell.name}: {note}")


def _done(folder: Path, cell: Cell) -> bool:
    record = folders.record(folder, cell.key)
    return record is not None and record.error is None


def _records(plan: Plan) -> list[Record | None]:
    return [folders.record(plan.folder, cell.key) for cell in plan.cells]
