"""Bridges to other packages: the core keeps the place for them, and knows neither the bridges nor the plugins.

A bridge is a component of the kind `bridge`, named after the package. `rgmkit/__init__.py` sets the function that
finds them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rgmkit.errors import PluginError

if TYPE_CHECKING:
    from rgmkit.core.degradation import Degradation
    from rgmkit.core.prior import Prior, RestoringPrior


class Bridge(ABC):
    """Convert between the objects of a package and those of rgmkit."""

    @abstractmethod
    def import_object(self, thing: Any) -> Degradation | Prior:
        """Convert an object of the package to a degradation or a prior; `thing` itself is never changed.

        Raises:
            IncompatibleError: if rgmkit has no counterpart.
        """

    @abstractmethod
    def export_degradation(self, degradation: Degradation, image_shape: tuple[int, ...]) -> Any:
        """Convert a degradation, for images of `image_shape` (C, H, W), to an operator of the package."""

    @abstractmethod
    def export_prior(self, prior: RestoringPrior, *, seed: int) -> Any:
        """Convert a network prior to a denoiser of the package; `seed` determines the auxiliary variable z."""


Finder = Callable[[str], "Bridge | None"]
_finders: list[Finder] = []


def set_finder(finder: Finder) -> None:
    """Set the function that finds the bridge to a package, given its name."""
    _finders[:] = [finder]


def find_bridge(package: str) -> Bridge:
    """Return the bridge to a package.

    Raises:
        PluginError: if no plugin has one.
    """
    found = _find(package)
    if found is None:
        raise PluginError(f"no plugin has a bridge to {package}: install one")
    return found


def import_object(thing: Any) -> Any:
    """Convert an object of a package that has a bridge; return any other object as it is.

    The modules of its classes tell the package, which is not imported for this.
    """
    packages = {cls.__module__.partition(".")[0] for cls in type(thing).__mro__} - {"builtins", "torch", "rgmkit"}
    for package in sorted(packages):
        bridge = _find(package)
        if bridge is not None:
            return bridge.import_object(thing)
    return thing


def _find(package: str) -> Bridge | None:
    return _finders[0](package) if _finders else None
