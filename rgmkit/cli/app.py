"""`rgmkit`: its commands, and how errors and warnings are shown."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import click

from rgmkit.cli import options, plugins
from rgmkit.cli.degrade import degrade
from rgmkit.cli.demo import demo
from rgmkit.cli.evaluate import evaluate
from rgmkit.cli.experiments import report, run
from rgmkit.cli.generate import generate
from rgmkit.cli.hub import push
from rgmkit.cli.lab import lab
from rgmkit.cli.models import convert, info, train
from rgmkit.cli.options import Commands, CommandSettings, examples, say
from rgmkit.cli.restore import restore
from rgmkit.errors import RgmkitError, describe_cause, is_out_of_memory, read_message

FAILED, INTERRUPTED = 2, 130


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "rgmkit demo",
        "rgmkit degrade photo.png -d blur:std=2,noise=0.02 -o blurred.png",
        "rgmkit restore blurred.png -d blur:std=2,noise=0.02 --prior tv -o restored.png",
    ),
)
@options.common
@click.version_option(package_name="rgmkit", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Restore measured images and generate new ones with one trained network.

    A degradation, prior or solver is written name:option=value,option=value. `rgmkit plugins` lists the
    names, `rgmkit plugins show NAME` their options.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _command in (
    demo, lab, train, generate, degrade, restore, evaluate, run, report, plugins.group, info, convert, push,
):  # fmt: skip
    cli.add_command(_command)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: with 0, with 2 after an error, or with 130 after Ctrl-C."""
    settings = CommandSettings()
    with _show_warnings(settings):
        code = _run(args, settings)
    sys.exit(code)


def _run(args: Sequence[str] | None, settings: CommandSettings) -> int:
    try:
        code = cli.main(args, prog_name="rgmkit", standalone_mode=False, obj=settings)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "rgmkit"
        return _fail(error, f"{error.format_message()} (see '{command} --help')", settings)
    except click.ClickException as error:
        return _fail(error, error.format_message(), settings)
    except (click.Abort, KeyboardInterrupt):
        sys.unraisablehook = lambda _: None  # objects that are not whole yet complain when they are deleted
        if not settings.stopped:  # a training, or a run, has said how it goes on
            say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # silence the last flush, too
        return 1
    except (RgmkitError, OSError) as error:
        return _fail(error, _describe(error), settings)
    except BaseException as error:
        if is_out_of_memory(error):
            return _fail(error, f"out of memory: take a smaller image or batch ({_describe(error)[:120]})", settings)
        from rgmkit.plugins import find_culprit

        culprit = find_culprit(error)
        if culprit is None:
            raise
        return _fail(error, f"{describe_cause(error)}: raised by {culprit}, --debug shows the traceback", settings)


def _fail(error: BaseException, message: str, settings: CommandSettings) -> int:
    if settings.debug:
        traceback.print_exception(error)
    say(f"error: {message}")
    return FAILED


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return read_message(error) or type(error).__name__


class _OneLine(logging.Handler):
    """Print each record as one line."""

    def __init__(self, settings: CommandSettings) -> None:
        super().__init__()
        self.settings = settings

    def emit(self, record: logging.LogRecord) -> None:
        self.settings.stopped = record.getMessage().startswith("stopped")
        say(f"{record.levelname.lower()}: {record.getMessage()}")


@contextlib.contextmanager
def _show_warnings(settings: CommandSettings) -> Iterator[None]:
    """Print each log record of rgmkit and each Python warning as one line on stderr."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if settings.debug or not issubclass(category, (DeprecationWarning, FutureWarning)):
            say(f"warning: {message}")

    hook = sys.unraisablehook
    logger, handler = logging.getLogger("rgmkit"), _OneLine(settings)
    logger.addHandler(handler)
    logger.propagate = False
    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = True
            sys.unraisablehook = hook
