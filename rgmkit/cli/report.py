"""`rgmkit report`."""

from __future__ import annotations

from pathlib import Path

import click

from rgmkit.cli.common import PATH, common_options, examples


@click.command(
    "report",
    short_help="Write the tables and the page of a run again.",
    epilog=examples("rgmkit report runs/deblur"),
)
@click.argument("folder", metavar="DIR", type=PATH)
@common_options
def command(folder: Path) -> None:
    """Write the tables and the page of the run in DIR again, from the finished cells.

    Nothing is computed. Use it to look at a run that is unfinished or was stopped.
    """
    from rgmkit.errors import DataError
    from rgmkit.experiments.pipeline import write
    from rgmkit.experiments.results import read_results
    from rgmkit.experiments.tables import format_tables

    results = read_results(folder)
    if not results.records:
        raise DataError(f"{folder} has no cell that is done: there is nothing to report yet")
    write(results)
    click.echo(format_tables(results))
    for name in ("results.csv", "results.md", "report.html"):
        click.echo(folder / name)
