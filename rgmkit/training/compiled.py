"""Compiling the restorer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rgmkit.runtime.precision import compiling
from rgmkit.training.setup import Run

logger = logging.getLogger(__name__)


@contextmanager
def compiled(run: Run) -> Iterator[None]:
    """Within it, the restorer is compiled where that is asked for, when it is first called.

    The critic is not: its penalty needs the derivative of a derivative, which compiled code does not have. Nor are the
    averaged weights, which are evaluated too seldom.
    """
    if not run.settings.compile:
        yield
        return
    logger.warning("the network is compiled in the first step, which takes minutes on a CPU")
    run.network.compile()
    with compiling():
        yield
