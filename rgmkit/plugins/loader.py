"""Load plugins one by one: one that fails is unregistered and reported, and takes nothing else down."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pluggy

from rgmkit.errors import PluginError
from rgmkit.plugins import hookspec
from rgmkit.plugins.component import Component
from rgmkit.plugins.source import CAUGHT, Failure, Source

HOOKS = tuple(name for name in vars(hookspec) if name.startswith("rgmkit_"))


class Loader:
    """Load plugins into one pluggy manager."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspec.GROUP)
        self.manager.add_hookspecs(hookspec)

    def load(self, source: Source) -> list[Component] | Failure:
        """Return the components of a plugin, or at which stage it failed and why."""
        stage, plugin, others = "import", None, self.manager.get_plugins()
        try:
            plugin = source.load()
            stage = "registration"
            self.manager.register(plugin, name=f"{source.distribution}:{source.entry}")
            stage = "the check of its hooks"
            self._check_hooks(plugin)
            stage = "the call of its hook"
            components = _check_components(self.manager.subset_hook_caller("rgmkit_components", others)())
            return [replace(c, distribution=source.distribution, version=source.version) for c in components]
        except CAUGHT as cause:
            if plugin is not None and plugin not in others and self.manager.is_registered(plugin):
                self.manager.unregister(plugin)
            return Failure(source.entry, source.distribution, stage, cause)

    def _check_hooks(self, plugin: Any) -> None:
        callers = self.manager.get_hookcallers(plugin)
        if not callers:
            raise PluginError("it implements no hook: define rgmkit_components() and decorate it with @rgmkit.hookimpl")
        for caller in callers:
            if not caller.has_spec():
                raise PluginError(f"unknown hook {caller.name!r}: the hook is named {HOOKS[0]!r}")


def _check_components(returned: list[Any]) -> list[Component]:
    """Check what the hook of one plugin returned; pluggy puts it into a list, and leaves None out."""
    if not returned:
        raise PluginError("rgmkit_components returned None: return a list of rgmkit.Component")
    (components,) = returned
    if not isinstance(components, (list, tuple)):
        raise PluginError(f"rgmkit_components returned {components!r}: return a list of rgmkit.Component")
    for component in components:
        if not isinstance(component, Component):
            raise PluginError(f"rgmkit_components returned {component!r} in its list: put rgmkit.Component there")
    for (kind, name), count in Counter((c.kind, c.name) for c in components).items():
        if count > 1:
            raise PluginError(f"it gives the {kind} {name!r} twice")
    return list(components)
