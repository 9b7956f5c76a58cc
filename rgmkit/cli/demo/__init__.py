"""`rgmkit demo`."""

from __future__ import annotations

from pathlib import Path

import click

from rgmkit.cli.common import PATH, common_options, examples
from rgmkit.cli.files import check_new_folder


@click.command(
    "demo",
    short_help="See one network restore and generate, in under a minute.",
    epilog=examples("rgmkit demo", "rgmkit demo -o /tmp/demo"),
)
@click.option(
    "-o",
    "--out",
    metavar="DIR",
    type=PATH,
    default="demo",
    show_default=True,
    help="Folder for the figures and the page.",
)
@click.option("--overwrite", is_flag=True, help="Write into the folder even if it holds files.")
@common_options
def command(out: Path, overwrite: bool) -> None:
    """Restore and generate handwritten digits with the shipped network.

    Held-out digits are degraded in three ways and restored by the network and by total variation, and a hundred new
    digits are generated. Writes figures and an HTML page that shows them, in under a minute.
    """
    check_new_folder(out, overwrite=overwrite)
    from rgmkit.cli.demo.main import run

    run(out)
