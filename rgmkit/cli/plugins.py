"""`rgmkit plugins`: list the components, and show the options of each."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rgmkit.cli import options
from rgmkit.cli.options import Commands, echo, examples, print_json

if TYPE_CHECKING:
    from rgmkit.plugins import Component

WIDTH = 80
NEW_KINDS = ("degradation", "prior", "solver", "noise", "metric", "objective")


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
    """List the components and the shipped models by kind, with a summary. None is imported."""
    from rgmkit import plugins
    from rgmkit.models import catalogue

    models = catalogue.available(catalogue.MODEL)
    components, failures = plugins.list_components(), plugins.list_failures()
    if as_json:
        failed = [
            {"entry": f.entry, "distribution": f.distribution, "stage": f.stage, "cause": f.reason} for f in failures
        ]
        listed = [catalogue.summarize_component(component) for component in components]
        named = [{"name": name, "summary": catalogue.summarize_model(name)} for name in models]
        print_json({"components": listed, "models": named, "failures": failed, "clashes": plugins.list_clashes()})
        return
    for kind in plugins.KINDS:
        own = [component for component in components if component.kind == kind]
        _print_section(kind, [(plugins.address(c), _add_origin(c)) for c in own])
    _print_section("model (of rgmkit, for --prior)", [(name, catalogue.summarize_model(name)) for name in models])
    _print_section("failed", [(f"{f.entry} of {f.distribution}", f"at {f.stage}: {f.reason}") for f in failures])


def _add_origin(component: Component) -> str:
    """Return the summary, with the distribution if it is not rgmkit."""
    own = component.distribution == "rgmkit"
    return component.summary if own else f"{component.summary} ({component.origin})".strip()


def _print_section(title: str, rows: list[tuple[str, str]]) -> None:
    """Print names with their meanings below a title, in 80 columns; nothing without rows."""
    if not rows:
        return
    echo(f"{title}:")
    width = min(30, max(len(name) for name, _ in rows) + 4)
    for name, meaning in rows:
        start = f"  {name}  ".ljust(width)
        start = start if len(start) == width else f"{start.rstrip()}\n{' ' * width}"
        for line in textwrap.wrap(meaning, WIDTH - width) or [""]:
            echo(f"{start}{line}".rstrip())
            start = " " * width


@group.command(
    "show",
    epilog=examples(
        "rgmkit plugins show blur", "rgmkit plugins show rain@acme-rain", "rgmkit plugins show uotm --json"
    ),
)
@click.argument("name")
@options.as_json
@options.common
def show_command(name: str, as_json: bool) -> None:
    """Show the options of the component NAME, their types and defaults, and what it does."""
    from rgmkit import plugins
    from rgmkit.models import catalogue

    if as_json:
        print_json({"components": [catalogue.describe_component(component) for component in plugins.find(name)]})
        return
    echo(catalogue.describe(name))


@group.command(
    "new",
    epilog=examples(
        "rgmkit plugins new lens-flare --kind degradation",
        "rgmkit plugins new shot --kind noise -o packages/shot",
    ),
)
@click.argument("name")
@click.option("--kind", type=click.Choice(NEW_KINDS), required=True, help="Kind of the component.")
@options.out("DIR", "Folder of the package. [default: rgmkit-NAME]")
@options.overwrite("Replace files of an earlier package.")
@options.common
def new_command(name: str, kind: str, out: Path | None, overwrite: bool) -> None:
    """Write a package with a new component NAME, which works, is tested, and can be installed.

    Change the class in it to your own.
    """
    from rgmkit.cli.new_plugin.main import write_package

    commands = write_package(name, kind, out, overwrite=overwrite)
    echo("\n".join(commands))


@group.command(
    "check",
    epilog=examples(
        "rgmkit plugins check blur:std=1",
        "rgmkit plugins check ops.py",
        "rgmkit plugins --plugin ops.py check half:factor=2 --shape 1,16,12",
        "rgmkit plugins check rgmkit-rain --json",
    ),
)
@click.argument("name", required=False)
@click.option("--shape", metavar="C,H,W", help="Shape of the images. [default: a small one that suits the component]")
@options.as_json
@options.common
def check_command(name: str | None, shape: str | None, as_json: bool) -> int:
    """Run the conformance checks of the component NAME, which may have options, as in blur:std=1.

    NAME can also be a Python file or a distribution: then all of its components are checked; without a NAME, those of
    the files given with --plugin. The exit code is 1 if a check fails.
    """
    from rgmkit.cli import conformance

    reports = [conformance.check(target, conformance.read_shape(shape)) for target in conformance.find_targets(name)]
    if as_json:
        print_json({"components": [report.facts() for report in reports]})
    else:
        echo("\n\n".join(report.text() for report in reports))
    return int(any(report.failed for report in reports))
