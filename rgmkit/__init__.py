"""rgmkit: restoration-based generative models for inverse problems.

One network, trained to restore images from every level of a degradation, restores measured images and
generates new ones. Everything here is imported when it is first used: `import rgmkit` is light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rgmkit.core.bridge import Bridge, set_finder
from rgmkit.deprecation import install

if TYPE_CHECKING:
    from rgmkit.config import degradation, metric, prior, process, solver
    from rgmkit.core.degradation import Degradation
    from rgmkit.core.metric import Metric
    from rgmkit.core.objective import Objective
    from rgmkit.core.prior import Prior, RestoringPrior
    from rgmkit.core.process import ForwardProcess
    from rgmkit.core.random import Streams
    from rgmkit.core.solver import Problem, Solution, Solver
    from rgmkit.errors import (
        AccuracyWarning,
        CheckpointError,
        ConfigError,
        DataError,
        IncompatibleError,
        PluginError,
        RgmkitError,
        TrainingError,
    )
    from rgmkit.inference import generate, restore
    from rgmkit.models.folder import load
    from rgmkit.plugins import Component, hookimpl
    from rgmkit.training import train

    __version__: str

__all__ = [
    "AccuracyWarning", "CheckpointError", "Component", "ConfigError", "DataError", "Degradation", "ForwardProcess",
    "IncompatibleError", "Metric", "Objective", "PluginError", "Prior", "Problem", "RestoringPrior", "RgmkitError",
    "Solution", "Solver", "Streams", "TrainingError", "__version__", "degradation", "generate", "hookimpl", "load",
    "metric", "prior", "process", "restore", "solver", "train",
]  # fmt: skip

_HOME = {
    "rgmkit.config": "degradation metric prior process solver",
    "rgmkit.core.degradation": "Degradation",
    "rgmkit.core.metric": "Metric",
    "rgmkit.core.objective": "Objective",
    "rgmkit.core.prior": "Prior RestoringPrior",
    "rgmkit.core.process": "ForwardProcess",
    "rgmkit.core.random": "Streams",
    "rgmkit.core.solver": "Problem Solution Solver",
    "rgmkit.errors": (
        "AccuracyWarning CheckpointError ConfigError DataError IncompatibleError PluginError RgmkitError TrainingError"
    ),
    "rgmkit.inference": "generate restore",
    "rgmkit.models.folder": "load",
    "rgmkit.plugins": "Component hookimpl",
    "rgmkit.training": "train",
}
install()
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("rgmkit")
    elif name in _MODULE_OF:
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    else:
        raise AttributeError(f"module 'rgmkit' has no attribute {name!r}")
    globals()[name] = value
    return value


def _find_bridge(package: str) -> Bridge | None:
    """The bridge to a package, if a plugin gives one; plugins are loaded when the first is looked for."""
    from rgmkit import plugins

    if not any(component.name == package for component in plugins.found("bridge")):
        return None
    bridge: Bridge = plugins.load_class("bridge", package)()
    return bridge


set_finder(_find_bridge)


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted(set(globals()) | set(__all__))
