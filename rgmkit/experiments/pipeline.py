"""Run a grid: plan, tune, evaluate the cells that are not done, read the results, write tables and report."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from rgmkit.errors import ConfigError
from rgmkit.experiments.evaluate import evaluate_cells, is_done
from rgmkit.experiments.plan import Plan, make_plan
from rgmkit.experiments.results import Results, read_results
from rgmkit.experiments.run_folder import begin_run, find_run, remove_unfinished, write_grid
from rgmkit.experiments.tables import write_tables
from rgmkit.experiments.tune import tune
from rgmkit.runtime.lock import lock_folder
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.runtime.signals import unwind_on_sigterm

log = logging.getLogger(__name__)

WAIT = timedelta(days=30)  # processes wait for the one that tunes, and for the slowest one


def run(
    grid: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    device: str | torch.device = "cpu",
    overwrite: bool = False,
    progress: bool = True,
) -> Results:
    """Compare methods: restore each picture of a grid under each degradation by each method, once per seed.

    The whole grid is checked before anything runs. Each cell is saved as soon as it is finished: the same call
    continues where an earlier one was stopped, and tries failed cells again. A cell that fails is recorded with its
    error, and the others still run. A method that cannot be used with a degradation is left out there, with a warning.

    Args:
        grid: a YAML file, or the mapping in it; in a mapping `use` and `prior` may be objects.
        out: the folder of the run. Default: `runs/<name of the file>`.
        overrides: `path=value` changes of the grid, such as `data.limit=2`.
        device: where to compute.
        overwrite: start afresh if the folder holds a run.
        progress: show a progress bar on stderr.

    Raises:
        ConfigError, PluginError, CheckpointError: for an invalid grid, or a folder that holds anything else or is in
            use by another run.
        DataError, IncompatibleError: for pictures that cannot be read, or do not fit a degradation or a method.

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
    lock = lock_folder(plan.folder, busy=f"{plan.folder} is in use")
    with (
        ProcessGroup.join(device, timeout=WAIT) as processes,
        unwind_on_sigterm(),
        processes.enter_on_main(lock),
    ):
        processes.on_main(lambda: _prepare(plan, overwrite=overwrite))
        try:
            choose = tune(plan, processes, progress=progress)
            evaluate_cells(plan, processes, choose, progress=progress)
        except KeyboardInterrupt:
            done = sum(is_done(plan.folder, cell) for cell in plan.cells)
            log.warning(f"stopped with {done} of {len(plan.cells)} cells done: the same command continues from there")
            raise
        processes.wait()
        results = read_results(plan.folder, main=processes.is_main)
        if processes.is_main:
            write(results)
    return results


def write(results: Results) -> None:
    """Write the tables and the report of a run."""
    from rgmkit.experiments.report import write_report

    write_tables(results)
    write_report(results)


def _prepare(plan: Plan, *, overwrite: bool) -> None:
    """Make the folder of the run, remove what a killed run left there, and log the pairs that do not fit.

    Raises:
        ConfigError: if another run has begun there since the plan was made.
    """
    begun = find_run(plan.folder, plan.grid.content) is not None if not overwrite else plan.continues
    if begun != plan.continues:
        raise ConfigError(f"another run has just begun in {plan.folder}: give the command again to continue it")
    if plan.continues:
        write_grid(plan.folder, plan.grid.content)
    else:
        begin_run(plan.folder, plan.grid.content, plan.facts)
    remove_unfinished(plan.folder)
    for (i, j), reason in plan.unfit.items():
        operator, method = plan.grid.operators[i], plan.grid.methods[j]
        log.warning(f"{method.label} is left out under {operator.label}, it does not fit: {reason}")
