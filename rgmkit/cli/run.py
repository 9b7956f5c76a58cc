"""`rgmkit run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rgmkit.cli.common import PATH, common_options, device_option, examples, say
from rgmkit.cli.names import check_grid

if TYPE_CHECKING:
    from rgmkit.experiments.plan import Plan

SOME_FAILED = 1


@click.command(
    "run",
    short_help="Compare methods on a folder of images.",
    epilog=examples(
        "rgmkit run examples/photo_deblur.yaml -o runs/deblur",
        "rgmkit run grid.yaml --dry-run",
        "rgmkit run grid.yaml --set data.limit=2 --set method.0.solver.iterations=50",
        "accelerate launch --num_processes 4 -m rgmkit run grid.yaml -o runs/grid",
    ),
)
@click.argument("grid", metavar="GRID.yaml", type=PATH)
@click.option(
    "-o", "--out", metavar="DIR", type=PATH, help="The folder of the run. [default: runs/ and the name of the file]"
)
@click.option(
    "--set",
    "overrides",
    metavar="PATH=VALUE",
    multiple=True,
    help="Change an option of the grid, such as data.limit=2 or method.0.prior.weight=5. May be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Start again if the folder holds a run.")
@click.option("--dry-run", is_flag=True, help="Check the grid, list its cells and what would be tuned, and stop.")
@device_option
@common_options
def command(
    grid: Path, out: Path | None, overrides: tuple[str, ...], overwrite: bool, dry_run: bool, device: str | None
) -> int:
    """Restore images under degradations by methods, and compare.

    The grid names data, degradations, methods (a prior and a solver) and seeds; each combination is a cell.
    Finished cells are saved at once: the same command continues where it was stopped, and tries failed cells
    again. It prints a table for each degradation, and writes results.csv, results.md, and report.html with the
    pictures. Exit code 1 means that some cells failed; the tables count them.
    """
    check_grid(grid, overrides)
    from rgmkit.runtime.device import choose_device

    where = choose_device(device)
    if dry_run:
        from rgmkit.experiments.plan import make_plan

        _print_plan(make_plan(grid, out=out, overrides=overrides, overwrite=overwrite))
        return 0
    from rgmkit.experiments import run
    from rgmkit.experiments.tables import format_tables

    results = run(grid, out=out, overrides=overrides, device=where, overwrite=overwrite)
    if results.main:
        click.echo(format_tables(results))
        for name in ("results.csv", "results.md", "report.html"):
            click.echo(results.folder / name)
    if results.failed and results.main:
        total, first = len(results.records), results.failed[0]
        say(
            f"error: {len(results.failed)} of {total} cells failed, the first ({first.image}, {first.degradation}, "
            f"{first.method}) with: {first.error}; the same command tries them again"
        )
    return SOME_FAILED if results.failed and results.main else 0


def _print_plan(plan: Plan) -> None:
    """Print the cells, and what would be tuned."""
    from rgmkit.experiments.run_folder import read_record

    for cell in plan.cells:
        found = read_record(plan.folder, cell.key) if plan.continues else None
        state = "to do" if found is None else "done" if found.error is None else "failed, to do"
        if cell.places in plan.unfit:
            state = f"left out, does not fit ({plan.unfit[cell.places]})"
        click.echo(f"{state}: {cell.name}")
    tuned = [(method, parameter) for method in plan.grid.methods for parameter in method.parameters]
    for method, parameter in tuned:
        ends = parameter.ends()
        values = f"from {ends[0]:g} to {ends[1]:g}" if ends else "by its choices"
        click.echo(f"to tune: {parameter.name} of {method.label}, {values}, on {len(plan.training)} images")
    count = len(plan.cells)
    click.echo(
        f"{count} cells: {len(plan.photographs)} images x {len(plan.grid.operators)} degradations x "
        f"{len(plan.grid.methods)} methods x {len(plan.grid.seeds)} seeds"
    )
