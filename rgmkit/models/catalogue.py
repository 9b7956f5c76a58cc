"""List components and shipped models by name, and describe their options. Listing imports none of them."""

from __future__ import annotations

import inspect
from typing import Any

from rgmkit import plugins
from rgmkit.config import describe as describe_type
from rgmkit.config import options_of
from rgmkit.errors import PluginError
from rgmkit.models.lookup import CARD, SHIPPED, list_shipped
from rgmkit.plugins import Component

GIVEN = {"network": ("process", "image_shape"), "prior": ("process", "network", "image_shape", "center", "scale")}
"""Constructor arguments that a training run supplies, by kind of component; users cannot set them."""

MODEL = "model"


def available(kind: str) -> list[str]:
    """List the names of a kind: degradation, noise, prior, solver, process, metric, …; "model" for shipped models.

    Raises:
        PluginError: if there is no such kind.

    >>> import rgmkit
    >>> "tv" in rgmkit.available("prior"), "digits" in rgmkit.available("model")
    (True, True)
    """
    if kind == MODEL:
        return list_shipped()
    if kind not in plugins.KINDS:
        raise PluginError(f"no kind is named {kind!r}: give one of {', '.join((*plugins.KINDS, MODEL))}")
    return [plugins.address(component) for component in plugins.list_components(kind)]


def describe(name: str) -> str:
    """Describe what has a name, whatever its kind: what it does, and its options with types, ranges and defaults.

    Raises:
        PluginError: if nothing has this name.

    >>> import rgmkit
    >>> print(rgmkit.describe("gaussian-noise").splitlines()[0])
    degradation gaussian-noise: White Gaussian noise
    """
    is_model = name in list_shipped()
    try:
        parts = [_format_component(describe_component(component)) for component in plugins.find(name)]
    except PluginError:
        if not is_model:
            raise
        parts = []
    about = [f"model {name}: {summarize_model(name)}\n\n  Its facts: rgmkit info {name}"] if is_model else []
    return "\n\n".join(parts + about)


def summarize_component(component: Component) -> dict[str, Any]:
    """Return name, kind, summary, origin and target of a component, without importing it."""
    return {
        "name": plugins.address(component),
        "kind": component.kind,
        "summary": component.summary,
        "distribution": component.distribution,
        "version": component.version,
        "target": component.target_name,
    }


def summarize_model(name: str) -> str:
    """Return the title of a shipped model, from its model card."""
    lines = (SHIPPED / name / CARD).read_text(encoding="utf-8").splitlines()
    title = next((line for line in lines if line.startswith("# ")), "")
    return title.partition(": ")[2] or "a trained model"


def describe_component(component: Component) -> dict[str, Any]:
    """Return what `summarize_component` does, the docstring and the options of a component."""
    cls = plugins.load_class(component.kind, plugins.address(component))
    known = options_of(cls)
    given = GIVEN.get(component.kind, ()) if component.kind == "network" or "network" in known else ()
    options = [
        {
            "name": option.name,
            "type": describe_type(option.type),
            "given": option.name in given,
            "required": option.required,
            "default": None if option.required else _format_default(option.default),
        }
        for option in known.values()
    ]
    text = inspect.getdoc(cls) or component.summary
    return {**summarize_component(component), "description": text.split(">>>")[0].rstrip(), "options": options}


def _format_component(facts: dict[str, Any]) -> str:
    origin = f"{facts['distribution']} {facts['version']}".rstrip()
    lines = [f"{facts['kind']} {facts['name']}: {facts['summary']}", f"({origin}, {facts['target']})"]
    lines += ["", facts["description"], ""]
    for option in facts["options"]:
        default = "required" if option["required"] else f"default {option['default']}"
        default = "set by the training run" if option["given"] else default
        lines.append(f"  {option['name']}: {option['type']}; {default}")
    return "\n".join(lines if facts["options"] else [*lines, "  It has no options."])


def _format_default(default: Any) -> str:
    return "null" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
