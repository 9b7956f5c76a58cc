"""`rgmkit info`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from rgmkit.cli.common import common_options, examples, json_option
from rgmkit.cli.output import print_json


@click.command(
    "info",
    short_help="Show what a model was trained on, and its metrics.",
    epilog=examples("rgmkit info digits", "rgmkit info runs/digits --json"),
)
@click.argument("model")
@json_option
@common_options
def command(model: str, as_json: bool) -> None:
    """Show what MODEL was trained on, for how long, and its metrics.

    MODEL is the name of a shipped model, or a model folder.
    """
    from rgmkit import models

    models.check_model(model)
    facts = models.describe(model)
    if as_json:
        print_json(facts)
        return
    for line in _format_lines(facts):
        click.echo(line)


def _format_lines(facts: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Format one line for each value, indented for nested ones."""
    width = max((len(str(key)) for key in facts), default=0)
    for key, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{key}:"
            yield from _format_lines(value, indent + "  ")
        else:
            yield f"{indent}{str(key).ljust(width)}  {'' if value in (None, {}) else _format_value(value)}".rstrip()


def _format_value(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
