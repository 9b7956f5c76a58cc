"""What commands share: options and messages."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path, readable=False)  # commands say more of what is wrong with a file


@dataclass
class Settings:
    """What holds for the whole run."""

    debug: bool = False


class Commands(click.Group):
    """A group that names the nearest command when one is not known."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The command that `args` start with."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.commands, 1)
            known = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.commands)}"
            raise click.UsageError(f"no command is named {args[0]!r}: {known}", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order that a newcomer needs them."""
        return list(self.commands)


def say(message: str) -> None:
    """One line for the user, on stderr: stdout carries results only."""
    click.echo(" ".join(message.split()), err=True)


def examples(*lines: str) -> str:
    """The examples at the end of a help text."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Settings).debug = True


def _plugin(ctx: click.Context, _: click.Parameter, files: tuple[Path, ...]) -> None:
    if files and not ctx.resilient_parsing:
        from rgmkit import plugins

        for file in files:
            plugins.add_file(file)


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_debug, is_eager=True, help="Show the traceback of an error."
)
plugin_option = click.option(
    "--plugin",
    metavar="FILE.py",
    type=PATH,
    multiple=True,
    expose_value=False,
    callback=_plugin,
    help="Load components from a Python file. May be repeated.",
)
device_option = click.option(
    "--device",
    metavar="DEVICE",
    help="Where to compute: cpu, or an accelerator by its name in PyTorch. [default: an accelerator, if there is one]",
)
seed_option = click.option(
    "--seed", metavar="S", type=int, default=0, show_default=True, help="Seed of the random numbers."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
degradation_option = click.option(
    "-d", "--degradation", metavar="SPEC", required=True, help="The degradation, such as blur:std=2,noise=0.02."
)
solver_option = click.option(
    "--solver", metavar="SPEC", help="The solver, such as cascade. [default: what suits the prior]"
)


def common_options(command: F) -> F:
    """`--plugin` and `--debug`, which every command takes."""
    return plugin_option(debug_option(command))
