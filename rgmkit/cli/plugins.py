"""`rgmkit plugins`: list the components, and show the options of each."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import click

from rgmkit.cli import options
from rgmkit.cli.options import Commands, examples, print_json

if TYPE_CHECKING:
    from rgmkit.plugins import Component

GIVEN = {"network": ("process", "image_shape"), "prior": ("process", "network", "image_shape", "center", "scale")}
"""Constructor arguments that a training run supplies, by kind of component; users cannot set them."""


@click.group(
    "plugins",
    cls=Commands,
    short_help="List the components and their options.",
    invoke_without_command=True,
    epilog=examples("rgmkit plugins", "rgmkit plugins show blur", "rgmkit plugins --plugin ops.py list --json"),
)
@options.as_json
@options.common
@click.pass_context
def group(ctx: click.Context, as_json: bool) -> None:
    """List the components that can be used by name, and their options."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command, as_json=as_json)
    elif as_json:
        ctx.default_map = {ctx.invoked_subcommand: {"as_json": True}}


@group.command("list", epilog=examples("rgmkit plugins list", "rgmkit plugins list --json"))
@options.as_json
@options.common
def list_command(as_json: bool) -> None:
    """List the components: name, kind, summary, and the distribution that provides them. None is imported."""
    from rgmkit import plugins

    components, failures = plugins.list_components(), plugins.list_failures()
    if as_json:
        failed = [
            {"entry": f.entry, "distribution": f.distribution, "stage": f.stage, "cause": f.reason} for f in failures
        ]
        listed = [_summarize(component) for component in components]
        print_json({"components": listed, "failures": failed, "clashes": plugins.list_clashes()})
        return
    rows = [(plugins.address(c), c.kind, c.summary, c.origin) for c in components]
    _print_table([("name", "kind", "what it is", "provided by"), *rows])
    if failures:
        click.echo()
        rows = [(f.entry, f.stage, f.reason, f.distribution) for f in failures]
        _print_table([("failed", "at", "why", "provided by"), *rows])


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@group.command(
    "show",
    epilog=examples("rgmkit plugins show blur", "rgmkit plugins show rain@acme-rain", "rgmkit plugins show gan --json"),
)
@click.argument("name")
@options.as_json
@options.common
def show_command(name: str, as_json: bool) -> None:
    """Show the options of the component NAME, their types and defaults, and what it does."""
    from rgmkit import plugins

    shown = [_describe(component) for component in plugins.find(name)]
    if as_json:
        print_json({"components": shown})
        return
    for facts in shown:
        title = f"{facts['kind']} {facts['name']}"
        click.echo(f"{title}  ({facts['distribution']} {facts['version']}".rstrip() + f", {facts['target']})\n")
        click.echo(f"{facts['description']}\n")
        for option in facts["options"]:
            default = "required" if option["required"] else f"default {option['default']}"
            default = "set by the training run" if option["given"] else default
            click.echo(f"  {option['name']}: {option['type']}; {default}")
        if not facts["options"]:
            click.echo("  It has no options.")


def _summarize(component: Component) -> dict[str, Any]:
    from rgmkit import plugins

    target = component.target
    return {
        "name": plugins.address(component),
        "kind": component.kind,
        "summary": component.summary,
        "distribution": component.distribution,
        "version": component.version,
        "target": target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}",
    }


def _describe(component: Component) -> dict[str, Any]:
    from rgmkit import plugins
    from rgmkit.config import describe, options_of

    cls = plugins.load_class(component.kind, plugins.address(component))
    known = options_of(cls)
    given = GIVEN.get(component.kind, ()) if component.kind == "network" or "network" in known else ()
    options = [
        {
            "name": option.name,
            "type": describe(option.type),
            "given": option.name in given,
            "required": option.required,
            "default": None if option.required else _format_default(option.default),
        }
        for option in known.values()
    ]
    text = inspect.getdoc(cls) or component.summary
    return {**_summarize(component), "description": text.split(">>>")[0].rstrip(), "options": options}


def _format_default(default: Any) -> str:
    return "null" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
