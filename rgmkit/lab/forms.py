"""Describe the forms of the page, from the signatures of the constructors: plugins need to do nothing for them."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rgmkit import plugins
from rgmkit.config import Option, describe, options_of
from rgmkit.core.bounds import is_usable
from rgmkit.errors import RgmkitError
from rgmkit.models.catalogue import GIVEN, available, summarize_model
from rgmkit.resolve import NetworkOptions

KINDS = ("degradation", "noise", "prior", "solver")
WITH_FILES = ("degradation", "noise")  # kinds of which an option may be a picture that is uploaded: a mask, a kernel
DEFAULT = re.compile(r"Default: ([\w-]+(?:\.\d+)?)(?:\.|$)")
ARGUMENT = re.compile(r"^    (\w+(?:, \w+)*): ", re.MULTILINE)


def describe_forms(models: Iterable[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """Describe the components of each kind and their options.

    Models are priors with the options of `NetworkOptions`: the shipped ones, and `models`, which the user named.
    A component is left out if it cannot be imported, or cannot be made without a network or a file of weights.
    """
    forms = {kind: list(_describe_kind(kind)) for kind in KINDS}
    shipped = [_describe_model(name, summarize_model(name)) for name in available("model")]
    forms["prior"] = [*shipped, *(_describe_model(model, "a model of yours") for model in models), *forms["prior"]]
    return forms


def _describe_kind(kind: str) -> Iterator[dict[str, Any]]:
    for component in plugins.list_components(kind):
        name = plugins.address(component)
        try:
            cls = plugins.load_class(kind, name)
            options = _list_options(kind, cls)
        except RgmkitError:  # `rgmkit plugins show` says why
            continue
        if options is not None:
            origin = "" if component.distribution == "rgmkit" else component.origin
            facts = {"name": name, "summary": component.summary, "origin": origin, "options": options}
            noise = options_of(cls).get("noise")
            yield facts | {
                "noisy": noise is not None, "noise": noise and _show(noise.default) if noise and noise.default else "",
                "generates": getattr(cls, "generates", False),
            }  # fmt: skip


def _describe_model(name: str, summary: str) -> dict[str, Any]:
    options = [describe_option(option, "", files=False) for option in options_of(NetworkOptions).values()]
    return {"name": name, "summary": summary, "origin": "", "model": True, "options": [o for o in options if o]}


def _list_options(kind: str, cls: type) -> list[dict[str, Any]] | None:
    """Describe the options of a class but its noise, which has a form of its own; None if one cannot be given."""
    known = options_of(cls)
    given = GIVEN.get(kind, ()) if "network" in known else ()
    meanings = read_meanings(inspect.getdoc(cls) or "")
    listed = []
    for option in known.values():
        if kind == "degradation" and option.name == "noise":
            continue
        facts = describe_option(option, meanings.get(option.name, ""), files=kind in WITH_FILES)
        if option.name in given or facts is None:
            if option.required:
                return None
            continue
        listed.append(facts)
    return listed


def describe_option(option: Option, meaning: str, *, files: bool) -> dict[str, Any] | None:
    """Describe the field for an option; None if it takes nothing but a file, and `files` is False.

    >>> import typing
    >>> field = describe_option(Option("filter", typing.Literal["box", "bicubic"], "box"), "", files=False)
    >>> field["widget"], field["choices"], field["default"]
    ('choice', ['box', 'bicubic'], 'box')
    """
    hints, bounds = _flatten(option.type)
    choices = [str(choice) for hint in hints if typing.get_origin(hint) is typing.Literal for choice in hint.__args__]
    plain = [hint for hint in hints if hint is not type(None) and typing.get_origin(hint) is not typing.Literal]
    takes_file = any(isinstance(hint, type) and issubclass(hint, Path) for hint in plain)
    if takes_file and not (files or choices):
        return None
    facts: dict[str, Any] = {
        "name": option.name, "type": describe(option.type), "meaning": meaning, "required": option.required,
        "default": "" if option.required else _show_default(option.default, meaning),
    }  # fmt: skip
    if choices and all(hint is not float and hint is not int for hint in plain) and (takes_file or not plain):
        return facts | {"widget": "choice", "choices": choices, "file": takes_file and files}
    if takes_file:
        return facts | {"widget": "file"}
    if plain and set(plain) <= {bool}:
        return facts | {"widget": "choice", "choices": ["true", "false"], "file": False}
    if plain and set(plain) <= {int, float}:
        return facts | {"widget": "number", "integer": float not in plain} | _ends(bounds)
    return facts | {"widget": "text"}


def _flatten(hint: Any) -> tuple[list[Any], list[Any]]:
    """Return the alternatives of an annotation, and the bounds of its numbers."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        inner, bounds = _flatten(args[0])
        return inner, bounds + list(args[1:])
    if origin in (typing.Union, types.UnionType):
        parts = [_flatten(arg) for arg in args]
        return [hint for hints, _ in parts for hint in hints], [bound for _, bounds in parts for bound in bounds]
    return [hint], []


def _ends(bounds: Iterable[Any]) -> dict[str, float]:
    """Return the least and the largest number that a field accepts; an open end is left to the constructor."""
    ends = {}
    for bound in bounds:
        for name, end in (("min", getattr(bound, "ge", None)), ("max", getattr(bound, "le", None))):
            if end is not None and is_usable(end):
                ends[name] = end
    return ends


def read_meanings(text: str) -> dict[str, str]:
    """Read what the section "Args" of a docstring says about each option.

    >>> read_meanings("Blur.\\n\\nArgs:\\n    std: of the Gaussian,\\n        in pixels.\\n    a, b: both.\\n\\nMore.")
    {'std': 'of the Gaussian, in pixels.', 'a': 'both.', 'b': 'both.'}
    """
    _, _, rest = text.partition("Args:\n")
    section = re.split(r"\n\s*\n|^\S", rest, maxsplit=1, flags=re.MULTILINE)[0]
    parts = ARGUMENT.split(section)[1:]
    meanings = zip(parts[::2], parts[1::2], strict=True)
    return {name: " ".join(said.split()) for names, said in meanings for name in names.split(", ")}


def _show_default(default: Any, meaning: str) -> str:
    """Show the default; for None what the docstring says that it stands for, if it is a word or a number."""
    if default is not None:
        return _show(default)
    said = DEFAULT.search(meaning)
    return said[1] if said else ""


def _show(default: Any) -> str:
    if isinstance(default, (list, tuple)):
        return f"[{', '.join(map(_show, default))}]"
    if isinstance(default, float):
        return f"{default:g}"
    return str(default).lower() if isinstance(default, bool) else str(default)
