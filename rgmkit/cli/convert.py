"""`rgmkit convert`."""

from __future__ import annotations

from pathlib import Path

import click

from rgmkit.cli.common import PATH, common_options, examples, say
from rgmkit.cli.files import check_new_folder
from rgmkit.cli.names import check_names


@click.command(
    "convert",
    short_help="Make a model folder of published weights.",
    epilog=examples(
        "rgmkit convert netG_1300.pth -o models/cifar10 --process gaussian:levels=4 --image-size 32",
        "rgmkit convert content.pth -o models/cifar10-sr",
        "rgmkit convert netG.pth -o models/celebahq --process gaussian:levels=4 --image-size 256",
    ),
)
@click.argument("checkpoint", metavar="CHECKPOINT", type=PATH)
@click.option("-o", "--out", metavar="DIR", type=PATH, required=True, help="The model folder.")
@click.option(
    "--process",
    metavar="SPEC",
    help="The forward process of its training, such as gaussian:levels=4. [default: what the file says]",
)
@click.option(
    "--image-size",
    metavar="N",
    type=click.IntRange(min=1),
    help="Side of its training images in pixels. [default: what the file says]",
)
@click.option(
    "--network",
    metavar="SPEC",
    default="ncsnpp",
    show_default=True,
    help="The network, with options that the weights do not show, such as ncsnpp:dropout=0.1.",
)
@click.option("--entry", metavar="NAME", help="Which state dict, where the file holds several restorers.")
@click.option("--overwrite", is_flag=True, help="Replace the model in a folder that is not empty.")
@common_options
def command(
    checkpoint: Path,
    out: Path,
    process: str | None,
    image_size: int | None,
    network: str,
    entry: str | None,
    overwrite: bool,
) -> None:
    """Make a model folder of a published checkpoint; prints the folder.

    CHECKPOINT is a file of torch.save, or .safetensors: the state dict of the restorer, or a training checkpoint that
    contains it. Nothing in it is executed. The options of the network are inferred from the names and shapes of the
    weights; the forward process and the size of the images are stored in training checkpoints only.
    """
    check_new_folder(out, overwrite=overwrite)
    check_names(network=network, process=process)
    from rgmkit.models.published import convert

    facts = convert(checkpoint, out, process=process, image_size=image_size, network=network, entry=entry)
    for key in ("weights", "process"):
        say(f"note: {key}: {facts[key]}")
    click.echo(out)
