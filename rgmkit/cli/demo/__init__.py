"""`rgmkit demo`."""

from __future__ import annotations

from pathlib import Path

import click

from rgmkit.cli import options
from rgmkit.cli.checks import check_new_folder
from rgmkit.cli.options import examples


@click.command(
    short_help="See one network restore and generate, in under a minute.",
    epilog=examples("rgmkit demo", "rgmkit demo -o /tmp/demo"),
)
@options.out("DIR", "Folder for the figures and the page.", default="demo", show_default=True)
@options.overwrite("Write into the folder even if it holds files.")
@options.common
def demo(out: Path, overwrite: bool) -> None:
    """Restore a photograph, and restore and generate handwritten digits, with the shipped networks.

    A photograph of which most pixels are missing, and held-out digits that are degraded in three ways, are restored by
    a network and by total variation, and a hundred new digits are generated. Writes figures and an HTML page that
    shows them, in under a minute.
    """
    check_new_folder(out, overwrite=overwrite)
    from rgmkit.cli.demo.main import run

    run(out)
