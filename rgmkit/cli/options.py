"""Options and messages that commands share: `@options.seed` adds `--seed`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from rgmkit.errors import escape_controls, find_nearest, shorten
from rgmkit.runtime.numbers import nulled

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path, readable=False)  # the commands check files themselves, with better messages


@dataclass
class CommandSettings:
    """Settings of one call of the command line."""

    debug: bool = False
    stopped: bool = False  # whether the last line said that the work has stopped


class Commands(click.Group):
    """A group of commands that suggests the nearest name for an unknown one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Find the command that `args` start with."""
        if "" in args:  # a path of "" would be the working directory
            raise click.UsageError("an argument is empty: is a variable of the shell unset?", ctx)
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = find_nearest(args[0], self.commands)
            known = f"did you mean {near!r}?" if near else f"there are {', '.join(self.commands)}"
            raise click.UsageError(f"no command is named {args[0]!r}: {known}", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which a newcomer needs them."""
        return list(self.commands)


def say(message: str) -> None:
    """Print one line to stderr; stdout carries results only."""
    click.echo(shorten(escape_controls(" ".join(message.split()))), err=True)


def echo(result: object) -> None:
    """Print a result to stdout; names and texts of files, plugins and models cannot control the terminal."""
    click.echo(escape_controls(str(result)))


def say_notes(notes: Iterable[str], about: Path | None = None) -> None:
    """Print each note, `about` a file, to stderr."""
    for note in notes:
        say(f"note: {about}: {note}" if about else f"note: {note}")


def print_json(facts: dict[str, Any]) -> None:
    """Print one JSON object; numbers that JSON lacks, such as the infinite PSNR of equal images, become null."""
    click.echo(json.dumps(nulled(facts), indent=2, default=str, allow_nan=False))


def examples(*lines: str) -> str:
    """Format the examples at the end of a help text."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(CommandSettings).debug = True


def _add_files(ctx: click.Context, _: click.Parameter, files: tuple[Path, ...]) -> None:
    from rgmkit import plugins

    for file in () if ctx.resilient_parsing else files:
        plugins.add_file(file)


def common(command: F) -> F:
    """Add `--plugin` and `--debug`, which every command accepts."""
    debug = click.option(
        "--debug", is_flag=True, expose_value=False, callback=_set_debug, is_eager=True,
        help="Show the traceback of an error.",
    )  # fmt: skip
    plugin = click.option(
        "--plugin", metavar="FILE.py", type=PATH, multiple=True, expose_value=False, callback=_add_files,
        help="Load components from a Python file. May be repeated.",
    )  # fmt: skip
    return plugin(debug(command))


def out(metavar: str, meaning: str, **attributes: Any) -> Callable[[F], F]:
    """Add `-o`, the file or folder that a command writes."""
    return click.option("-o", "--out", metavar=metavar, type=PATH, help=meaning, **attributes)


def overrides(meaning: str) -> Callable[[F], F]:
    """Add `--set`, which changes a configuration file."""
    return click.option("--set", "overrides", metavar="PATH=VALUE", multiple=True, help=f"{meaning} May be repeated.")


def overwrite(meaning: str) -> Callable[[F], F]:
    """Add `--overwrite`."""
    return click.option("--overwrite", is_flag=True, help=meaning)


def _set_max_pixels(ctx: click.Context, _: click.Parameter, value: int | None) -> None:
    if value is None:
        return
    from rgmkit.images.limits import VARIABLE  # which all readers heed, in processes started by this one, too

    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(value)
    ctx.call_on_close(lambda: os.environ.pop(VARIABLE) if before is None else os.environ.update({VARIABLE: before}))


max_pixels = click.option(
    "--max-pixels", metavar="N", type=click.IntRange(min=1), expose_value=False, callback=_set_max_pixels,
    help="Refuse pictures of more pixels before they are decoded. [default: 100 million]",
)  # fmt: skip
device = click.option(
    "--device",
    metavar="DEVICE",
    help="Where to compute: cpu, or an accelerator by its name in PyTorch. [default: an accelerator, if there is one]",
)
seed = click.option("--seed", metavar="S", type=int, default=0, show_default=True, help="Seed of the random numbers.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
degradation = click.option(
    "-d", "--degradation", metavar="SPEC", required=True, help="The degradation, such as blur:std=2,noise=0.02."
)
noise = click.option(
    "--noise",
    metavar="SPEC",
    help="The noise, if the degradation does not give it: the std of white noise, or a noise model such as "
    "poisson:photons=30.",
)
solver = click.option(
    "--solver", metavar="SPEC", help="The solver, such as cascade. [default: one that suits the prior]"
)
