"""A component: one class that a plugin provides under a name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rgmkit.errors import PluginError

BASES = {
    "degradation": "rgmkit.core.degradation:Degradation",
    "noise": "rgmkit.core.noise:Noise",
    "prior": "rgmkit.core.prior:Prior",
    "solver": "rgmkit.core.solver:Solver",
    "process": "rgmkit.core.process:ForwardProcess",
    "network": "torch.nn:Module",
    "objective": "rgmkit.core.objective:Objective",
    "bridge": "rgmkit.core.bridge:Bridge",
    "data": "rgmkit.training.data.base:Data",
    "metric": "rgmkit.core.metric:Metric",
    "features": "rgmkit.core.features:Features",
    "comparison": "rgmkit.core.features:Comparison",
}
"""The class that a component of each kind derives from."""

KINDS = tuple(BASES)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Component:
    """A class that users select by name; the parameters of its constructor are its options.

    Args:
        kind: degradation, noise, prior, solver, process, network, objective, bridge, data, metric, features or
            comparison.
        name: letters, digits, `.`, `_` and `-`.
        target: the class, or `"package.module:Class"`, which is imported only when it is used.
        summary: one line for listings.
        distribution, version: of the package that provides it; filled in by the loader.

    Raises:
        PluginError: if an argument is not of this form.

    >>> Component("degradation", "rain", "rgmkit_rain.rain:Rain", "Streaks of rain").name
    'rain'
    """

    kind: str
    name: str
    target: str | type
    summary: str = ""
    distribution: str = field(default="", kw_only=True)
    version: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PluginError(
                f"component {self.name!r} is of unknown kind {self.kind!r}: give one of {', '.join(KINDS)}"
            )
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise PluginError(f"component name {self.name!r} is not valid: use letters, digits, '.', '_' and '-'")
        if isinstance(self.target, str):
            if not TARGET.fullmatch(self.target):
                raise PluginError(f"target {self.target!r} of {self.name!r} is not of the form 'package.module:Class'")
        elif not isinstance(self.target, type):
            raise PluginError(f"target {self.target!r} of {self.name!r} is not a class or 'package.module:Class'")
        if not isinstance(self.summary, str):
            raise PluginError(f"summary {self.summary!r} of {self.name!r} is not a string")

    @property
    def target_name(self) -> str:
        """The target as `"package.module:Class"`.

        >>> Component("metric", "x", re.Pattern).target_name
        're:Pattern'
        """
        return self.target if isinstance(self.target, str) else f"{self.target.__module__}:{self.target.__qualname__}"

    @property
    def origin(self) -> str:
        """The distribution that provides it, and its version.

        >>> Component("solver", "x", "a:B", distribution="rgmkit-x", version="1.0").origin
        'rgmkit-x 1.0'
        """
        return f"{self.distribution} {self.version}".strip()
