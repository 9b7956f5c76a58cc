"""`rgmkit run` and `rgmkit report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rgmkit.cli import options
from rgmkit.cli.checks import check_grid
from rgmkit.cli.options import PATH, echo, examples, say

if TYPE_CHECKING:
    from rgmkit.experiments.plan import Plan
    from rgmkit.experiments.results import Results

SOME_FAILED = 1


@click.command(
    short_help="Compare methods on a folder of images.",
    epilog=examples(
        "rgmkit run examples/photo_deblur.yaml -o runs/deblur",
        "rgmkit run grid.yaml --dry-run",
        "rgmkit run grid.yaml --set data.limit=2 --set method.0.solver.iterations=50",
        "accelerate launch --num_processes 4 -m rgmkit run grid.yaml -o runs/grid",
    ),
)
@click.argument("grid", metavar="GRID.yaml", type=PATH)
@options.out("DIR", "The folder of the run. [default: runs/ and the name of the file]")
@options.overrides("Change an option of the grid, such as data.limit=2 or method.0.prior.weight=5.")
@options.overwrite("Start again if the folder holds a run.")
@click.option("--dry-run", is_flag=True, help="Check the grid, list its cells and what would be tuned, and stop.")
@options.device
@options.max_pixels
@options.common
def run(
    grid: Path, out: Path | None, overrides: tuple[str, ...], overwrite: bool, dry_run: bool, device: str | None
) -> int:
    """Compare restoration methods on images and degradations.

    The grid names data, degradations, methods (a prior and a solver) and seeds; each combination is a cell.
    Each cell is saved as soon as it is finished: the same command continues where it was stopped, and tries failed
    cells again. It prints a table for each degradation, and writes results.csv, results.md, and report.html with the
    pictures. Exit code 1 means that some cells failed; the tables count them.
    """
    check_grid(grid, overrides)
    from rgmkit.runtime.device import choose_device

    torch_device = choose_device(device)
    if dry_run:
        from rgmkit.experiments.plan import make_plan

        _print_plan(make_plan(grid, out=out, overrides=overrides, overwrite=overwrite))
        return 0
    from rgmkit import experiments

    results = experiments.run(grid, out=out, overrides=overrides, device=torch_device, overwrite=overwrite)
    if not results.main:
        return 0
    _print_results(results)
    if not results.failed:
        return 0
    total, first = len(results.records), results.failed[0]
    say(
        f"error: {len(results.failed)} of {total} cells failed, the first ({first.image}, {first.degradation}, "
        f"{first.method}) with: {first.error}; the same command tries them again"
    )
    return SOME_FAILED


@click.command(short_help="Rewrite the tables and the report of a run.", epilog=examples("rgmkit report runs/deblur"))
@click.argument("folder", metavar="DIR", type=PATH)
@options.common
def report(folder: Path) -> None:
    """Rewrite the tables and the report of the run in DIR, from its finished cells.

    No cell is computed. Use it to look at a run that is unfinished or was stopped.
    """
    from rgmkit.errors import DataError
    from rgmkit.experiments.pipeline import write
    from rgmkit.experiments.results import read_results

    results = read_results(folder)
    if not results.records:
        raise DataError(f"{folder} has no cell that is done: there is nothing to report yet")
    write(results)
    _print_results(results)


def _print_results(results: Results) -> None:
    from rgmkit.experiments.tables import format_tables

    echo(format_tables(results))
    for name in ("results.csv", "results.md", "report.html"):
        echo(results.folder / name)


def _print_plan(plan: Plan) -> None:
    """Print the cells, and what would be tuned."""
    from rgmkit.experiments.run_folder import read_record

    for cell in plan.cells:
        found = read_record(plan.folder, cell.key) if plan.continues else None
        state = "to do" if found is None else "done" if found.error is None else "failed, to do"
        if cell.places in plan.unfit:
            state = f"left out, does not fit ({plan.unfit[cell.places]})"
        echo(f"{state}: {cell.name}")
    for method in plan.grid.methods:
        for parameter in method.parameters:
            ends = parameter.ends()
            values = f"from {ends[0]:g} to {ends[1]:g}" if ends else "by its choices"
            echo(f"to tune: {parameter.name} of {method.label}, {values}, on {len(plan.training)} images")
    echo(
        f"{len(plan.cells)} cells: {len(plan.photographs)} images, {len(plan.grid.operators)} degradations, "
        f"{len(plan.grid.methods)} methods, {len(plan.grid.seeds)} seeds"
    )
