"""Write the reference of the command line: `python -m rgmkit.cli.reference FILE.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from rgmkit.cli.app import cli

HEAD = """# Command line

Written by `python -m rgmkit.cli.reference docs/command-line.md`; a test keeps it current.

Results go to stdout, everything else to stderr. The exit code is 0 after success, 1 if some
cells of a run failed, 2 after an error, which is one line on stderr (`--debug` adds the traceback), and 130 after an
interruption.

For completion of commands and options with the Tab key, add a line to the start-up file of the shell:

    eval "$(_RGMKIT_COMPLETE=bash_source rgmkit)"                            # ~/.bashrc
    eval "$(_RGMKIT_COMPLETE=zsh_source rgmkit)"                             # ~/.zshrc
    _RGMKIT_COMPLETE=fish_source rgmkit | source                             # ~/.config/fish/config.fish
"""


def reference() -> str:
    """Describe all commands with their arguments, options and examples, in Markdown."""
    return HEAD + "".join(_command(command, path) for path, command in _walk(cli, "rgmkit"))


def _walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _walk(inner, f"{path} {name}")


def _command(command: click.Command, path: str) -> str:
    arguments = [p.metavar or str(p.name).upper() for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    rest = ["[COMMAND]"] if isinstance(command, click.Group) else []
    usage = " ".join([path, *(["[OPTIONS]"] if options else []), *arguments, *rest])
    lines = ["", f"## {path}", "", f"    {usage}", "", inspect.cleandoc(command.help or "")]
    if options:
        lines += ["", "| option | meaning |", "|---|---|", *map(_option, options)]
    if command.epilog:
        lines += ["", "Examples:", "", *(f"  {line}" for line in command.epilog.splitlines()[2:])]
    return "\n".join(lines) + "\n"


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    value = "" if option.is_flag else f" {option.metavar}"
    help_text = option.help or ""
    if option.required:
        help_text += " Required."
    elif option.show_default and not option.is_flag:
        help_text += f" Default: {option.default}."
    return f"| {names}{value} | {help_text} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
