"""The hook that a plugin implements. There is one, for every kind of component."""

from __future__ import annotations

import pluggy

from rgmkit.plugins.component import Component

GROUP = "rgmkit"
"""The entry point group, and the name of the pluggy project."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def rgmkit_components() -> list[Component]:  # type: ignore[empty-body]
    """Return the components that this plugin provides.

    Keep the module of the hook light, with targets of the form `"package.module:Class"`: listing the plugins then
    imports nothing heavy.
    """
