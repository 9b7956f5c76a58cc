"""rgmkit: restoration-based generative models for inverse problems.

One network, trained to restore images from every level of a degradation, restores measured images and
generates new ones. The public names are listed in `__init__.pyi` and imported when they are first used, so that
`import rgmkit` is light.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

from rgmkit.core.bridge import Bridge, set_finder
from rgmkit.deprecation import install

_import, _, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = [*_names, "__version__"]
install()


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'rgmkit' has no attribute {name!r}")
    if name != "__version__":
        return _import(name)
    from importlib.metadata import version

    return globals().setdefault(name, version("rgmkit"))


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(set(globals()) | set(__all__))


def _find_bridge(package: str) -> Bridge | None:
    """Find the bridge to a package, if a plugin gives one; the plugins are loaded at the first search."""
    from rgmkit import plugins

    if not any(component.name == package for component in plugins.list_components("bridge")):
        return None
    return plugins.load_class("bridge", package)()


set_finder(_find_bridge)
