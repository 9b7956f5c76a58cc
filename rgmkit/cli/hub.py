"""`rgmkit push`: send a model to the Hugging Face hub."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rgmkit.cli import options
from rgmkit.cli.options import echo, examples, say
from rgmkit.errors import ConfigError
from rgmkit.runtime.extras import require


@click.command(
    short_help="Send a model to the Hugging Face hub.",
    epilog=examples(
        "rgmkit push runs/mine someone/faces --dry-run",
        "rgmkit push runs/mine someone/faces --public --license cc-by-4.0",
        "rgmkit restore photo.png -d blur:std=2 --prior hf:someone/faces -o restored.png",
    ),
)
@click.argument("model")
@click.argument("repository", metavar="USER/REPO")
@click.option("--public/--private", default=False, help="Who can see a repository that is new. [default: --private]")
@click.option("--license", metavar="NAME", help="License of the weights, as the hub names it, such as cc-by-4.0.")
@click.option("--dry-run", is_flag=True, help="List what would be sent, and send nothing.")
@click.option("-y", "--yes", is_flag=True, help="Send without asking.")
@options.common
def push(model: str, repository: str, public: bool, license: str | None, dry_run: bool, yes: bool) -> None:
    """Send MODEL to the Hugging Face hub as USER/REPO, after a question, and print the address of its page.

    MODEL is a model folder or the name of a shipped model. Sent are its configuration, its weights, files that the
    configuration names, the last sheet of samples, and the model card with the metadata of the hub; not checkpoints and
    losses. Needs `pip install 'rgmkit[hub]'`; log in before with `hf auth login`.
    """
    if not dry_run:
        require("huggingface_hub", "rgmkit push")
    from rgmkit import models

    files, show = models.collect_files(model, repository, license=license), echo if dry_run else say
    for name, content in files.items():
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        show(f"{name}  {size / 1000:,.1f} kB")
    if dry_run:
        return
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("there is no terminal to ask whether to send this: give --yes")
        who = "anyone" if public else "only its owner"
        click.confirm(f"Send this to {repository}? If it is new, {who} can see it.", abort=True, err=True)
    echo(models.push(model, repository, private=not public, license=license))
