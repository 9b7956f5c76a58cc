"""`rgmkit train`, `rgmkit info` and `rgmkit convert`: make model folders, and show their contents."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import click

from rgmkit.cli import options
from rgmkit.cli.checks import check_names, check_new_folder
from rgmkit.cli.options import PATH, echo, examples, print_json, say_notes
from rgmkit.config import check_component, dump_yaml, override
from rgmkit.errors import ConfigError
from rgmkit.runtime.files import write_file


@click.command(
    short_help="Train a model on your pictures, by a preset or a configuration file.",
    epilog=examples(
        "rgmkit train --preset small --data pictures -o runs/mine",
        "rgmkit train --preset small --data pictures -o runs/mine --resume --minutes 60",
        "rgmkit train --preset medium --goal restore --data pictures --write mine.yaml",
        "rgmkit train examples/digits_quick.yaml -o runs/digits",
        "rgmkit train examples/digits.yaml -o runs/digits --resume",
        "accelerate launch --num_processes 2 -m rgmkit train examples/digits.yaml",
        "rgmkit train examples/toys/gmm.yaml --set process.levels=3 --set seed=1",
    ),
)
@click.argument("config", metavar="[CONFIG.yaml]", type=PATH, required=False)
@click.option(
    "--preset",
    metavar="SIZE",
    type=click.Choice(["small", "medium", "large"]),
    help="Choose all options by the time there is: small for minutes on a CPU, medium for hours, or large for a day on "
    "an accelerator.",
)
@click.option(
    "--data",
    metavar="DATA",
    help="The pictures of a preset: a folder, a tar archive, an .npz file, or a data source such as digits.",
)
@click.option(
    "--goal",
    metavar="GOAL",
    type=click.Choice(["generate", "restore"]),
    help="What a preset trains: generate for a generative model, which restores, too; restore for a denoiser, which "
    "restores more accurately. [default: generate]",
)
@click.option(
    "--write", metavar="FILE.yaml", type=PATH, help="Write the configuration of a preset to a file, and train nothing."
)
@click.option(
    "--minutes", metavar="M", help="Train for so long; the time before a --resume counts. Short for training.minutes."
)
@options.out("DIR", "The model folder. [default: runs/ and the name of the file or data]")
@click.option("--resume", is_flag=True, help="Continue from the last checkpoint in the folder, if there is one.")
@options.overrides("Change an option of the configuration, such as process.levels=4.")
@options.device
@options.max_pixels
@options.common
def train(
    config: Path | None,
    preset: Literal["small", "medium", "large"] | None,
    data: str | None,
    goal: Literal["generate", "restore"] | None,
    write: Path | None,
    minutes: str | None,
    out: Path | None,
    resume: bool,
    overrides: tuple[str, ...],
    device: str | None,
) -> None:
    """Train a model as a configuration file or a preset describes, and print its folder.

    With a preset, a line on stderr predicts the number of steps and the memory before training starts. Sheets of
    samples appear in the folder from the first minute on, each with a model that can be used meanwhile.

    An interrupted run (Ctrl-C, SIGTERM) writes a checkpoint before it ends, and --resume continues from the last
    checkpoint. Several processes, started by `accelerate launch` or `torchrun`, train together: see
    docs/distributed.md.
    """
    if minutes is not None:
        overrides = (*overrides, f"training.minutes={minutes}")
    from rgmkit import training

    given: Path | dict[str, Any]
    if config is not None:
        given = _without_options(config, preset=preset, data=data, goal=goal, write=write)
    elif preset is None or data is None:
        raise ConfigError("give a configuration file, or --preset and --data: a size, and a folder of pictures")
    else:
        given = training.preset(preset, data, goal=goal or "generate", device=device)
        out = out or Path("runs") / Path(data).stem
        if write is not None:
            content = training.read_configuration(given, overrides).content
            for kind in ("data", "process", "network", "objective"):
                check_component(kind, content[kind])
            _write_new(write, dump_yaml(override(given, overrides)))
            return
    folder = training.train(given, out=out, resume=resume, overrides=overrides, device=device)
    from rgmkit.runtime.processes import is_main_process

    if is_main_process():
        echo(folder)


def _without_options(config: Path, **given: Any) -> Path:
    """Return the configuration file; raise a ConfigError if an option of presets is given, too."""
    for name in (name for name, value in given.items() if value is not None):
        raise ConfigError(f"--{name} is given, and so is {config}: give a configuration file, or --preset and --data")
    if os.path.isdir(config):
        raise ConfigError(f"{config} is a folder: to train on its pictures, give --preset small --data {config}")
    return config


def _write_new(file: Path, text: str) -> None:
    """Write a file that does not exist yet, and print its name."""
    if os.path.exists(file):
        raise ConfigError(f"{file} exists: name another file with --write")
    write_file(file, text)
    echo(file)


@click.command(
    short_help="Show what a model was trained on, and its metrics.",
    epilog=examples("rgmkit info digits", "rgmkit info runs/digits --json", "rgmkit info dncnn_25.pth"),
)
@click.argument("model")
@options.as_json
@options.common
def info(model: str, as_json: bool) -> None:
    """Show what MODEL was trained on, for how long, and its metrics.

    MODEL is the name of a shipped model, a model folder, hf:user/repo on the Hugging Face hub, or a file of published
    weights.
    """
    from rgmkit import models

    models.check_model(model)
    facts = models.describe(model)
    if as_json:
        print_json(facts)
        return
    for line in _format_lines(facts):
        echo(line)


def _format_lines(facts: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Format one line for each value, indented for nested ones."""
    width = max((len(str(key)) for key in facts), default=0)
    for key, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{key}:"
            yield from _format_lines(value, indent + "  ")
        else:
            text = "" if value in (None, {}) else f"{value:.5g}" if isinstance(value, float) else value
            yield f"{indent}{str(key).ljust(width)}  {text}".rstrip()


@click.command(
    short_help="Convert published weights to a model folder.",
    epilog=examples(
        "rgmkit convert netG_1300.pth -o models/cifar10 --process gaussian:levels=4 --image-size 32",
        "rgmkit convert content.pth -o models/cifar10-sr",
        "rgmkit convert netG.pth -o models/celebahq --process gaussian:levels=4 --image-size 256",
    ),
)
@click.argument("checkpoint", metavar="CHECKPOINT", type=PATH)
@options.out("DIR", "The model folder.", required=True)
@click.option(
    "--process",
    metavar="SPEC",
    help="The forward process it was trained with, such as gaussian:levels=4. [default: as stored in the file]",
)
@click.option(
    "--image-size",
    metavar="N",
    type=click.IntRange(min=1),
    help="Side of its training images in pixels. [default: as stored in the file]",
)
@click.option(
    "--network",
    metavar="SPEC",
    default="ncsnpp",
    show_default=True,
    help="The network, with options that the weights do not show, such as ncsnpp:dropout=0.1.",
)
@click.option("--entry", metavar="NAME", help="Name of the state dict, if the file holds several restorers.")
@options.overwrite("Replace the model in a folder that is not empty.")
@options.common
def convert(checkpoint: Path, out: Path, network: str, process: str | None, overwrite: bool, **given: Any) -> None:
    """Convert a published checkpoint to a model folder, and print the folder.

    CHECKPOINT is a file of torch.save, or .safetensors: the state dict of the restorer, or a training checkpoint that
    contains it. Nothing in it is executed. The options of the network are inferred from the names and shapes of the
    weights; the forward process and the size of the images are stored in training checkpoints only.
    """
    check_new_folder(out, overwrite=overwrite)
    check_names(network=network, process=process)
    from rgmkit.models import published

    facts = published.convert(checkpoint, out, network=network, process=process, **given)
    say_notes(f"{key}: {facts[key]}" for key in ("weights", "process"))
    echo(out)
