"""`rgmkit lab`."""

from __future__ import annotations

import click

from rgmkit.cli import options
from rgmkit.cli.options import examples, say


@click.command(
    short_help="Try degradations, priors and solvers on a page in the browser.",
    epilog=examples(
        "rgmkit lab",
        "rgmkit lab --model runs/faces --plugin ops.py",
        "rgmkit lab --port 8000 --no-browser --max-pixels 1000000",
    ),
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen. Any other address than the default lets other machines use this one.",
)
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), default=8460, show_default=True, help="0: any.")
@click.option(
    "--model",
    "models",
    metavar="MODEL",
    multiple=True,
    help="Offer a model folder, or a model on the hub, too. May be repeated.",
)
@click.option(
    "--max-pixels",
    metavar="N",
    type=click.IntRange(min=1),
    default=16_000_000,
    show_default=True,
    help="Refuse pictures of more pixels, with all their frames.",
)
@click.option("--browser/--no-browser", default=True, help="Whether to open the page. [default: yes]")
@options.device
@options.common
def lab(host: str, port: int, models: tuple[str, ...], max_pixels: int, browser: bool, device: str | None) -> None:
    """Serve a page on this machine to degrade and restore pictures, and to generate images.

    The page has a form for every degradation, noise model, prior and solver, those of plugins among them, and shows the
    command line and the Python that do the same. It loads nothing from elsewhere, opens no file of yours, and
    restores one picture at a time; other tabs wait their turn.
    """
    from rgmkit.lab.server import serve

    serve(host, port, models=models, max_pixels=max_pixels, device=device, browser=browser, say=say)
