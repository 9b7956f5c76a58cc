"""`rgmkit train`."""

from __future__ import annotations

from pathlib import Path

import click

from rgmkit.cli.common import PATH, common_options, device_option, examples


@click.command(
    "train",
    short_help="Train the model of a configuration file.",
    epilog=examples(
        "rgmkit train examples/digits_quick.yaml -o runs/digits",
        "rgmkit train examples/digits.yaml -o runs/digits --resume",
        "accelerate launch --num_processes 2 -m rgmkit train examples/digits.yaml",
        "rgmkit train examples/toys/gmm.yaml --set process.levels=3 --set seed=1",
    ),
)
@click.argument("config", metavar="CONFIG.yaml", type=PATH)
@click.option(
    "-o", "--out", metavar="DIR", type=PATH, help="The model folder. [default: runs/ and the name of the file]"
)
@click.option("--resume", is_flag=True, help="Continue from the last checkpoint in the folder, if there is one.")
@click.option(
    "--set",
    "overrides",
    metavar="PATH=VALUE",
    multiple=True,
    help="Change an option of the configuration, such as process.levels=4. May be repeated.",
)
@device_option
@common_options
def command(config: Path, out: Path | None, resume: bool, overrides: tuple[str, ...], device: str | None) -> None:
    """Train the model of a configuration file; prints the model folder.

    An interrupted run (Ctrl-C, SIGTERM) writes a checkpoint before it ends, and --resume continues from the last
    checkpoint. Several processes, started by `accelerate launch` or `torchrun`, train together: see
    docs/distributed.md.
    """
    from rgmkit.training import train

    folder = train(config, out=out, resume=resume, overrides=overrides, device=device)
    from rgmkit.runtime.processes import is_main_process

    if is_main_process():
        click.echo(folder)
