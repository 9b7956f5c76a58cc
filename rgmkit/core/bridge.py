"""The place for bridges to other packages: objects taken over from them, and handed over to them.

A bridge is a component of the kind `bridge`, named after the package. Whoever imports rgmkit puts a function
that finds bridges into `use_finder`; the core knows neither the bridges nor the plugin machinery.
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
    def take_over(self, thing: Any) -> Degradation | Prior:
        """Convert an object of the package into a degradation or a prior; `thing` itself never changes.

        Raises:
            IncompatibleError: if there is nothing like it here.
        """

    @abstractmethod
    def hand_over_degradation(self, degradation: Degradation, image_shape: tuple[int, ...]) -> Any:
        """Convert a degradation, for images of `image_shape` (C, H, W), into an operator of the package."""

    @abstractmethod
    def hand_over_prior(self, prior: RestoringPrior, *, seed: int) -> Any:
        """Convert a network prior into a denoiser of the package; `seed` decides the auxiliary variable z."""


Finder = Callable[[str], "Bridge | None"]
_finders: list[Finder] = []


def use_finder(finder: Finder) -> None:
    """Find bridges by `finder`, called with the name of a package, from now on."""
    _finders[:] = [finder]


def bridge_to(package: str) -> Bridge:
    """The bridge to a package.

    Raises:
        PluginError: if no plugin gives one.
    """
    found = _find(package)
    if found is None:
        raise PluginError(f"no plugin gives a bridge to {package}: install one")
    return found


def take_over(thing: Any) -> Any:
    """Convert an object of a package that a bridge leads to; return anything else as it is.

    The package itself is not imported for this: whose object `thing` is, its classes tell.
    """
    packages = {cls.__module__.partition(".")[0] for cls in type(thing).__mro__} - {"builtins", "torch", "rgmkit"}
    for package in sorted(packages):
        bridge = _find(package)
        if bridge is not None:
            return bridge.take_over(thing)
    return thing


def _find(package: str) -> Bridge | None:
    return _finders[0](package) if _finders else None
