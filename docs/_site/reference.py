"""The pages of the reference: components by kind, the keys of YAML files, and the public names."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from typing import Any

from docstrings import cell, split, to_markdown
from links import DOCS, ROOT

KINDS = {
    "degradation": (
        "Degradations",
        "What was done to the image. [Degradations](../degradations.md) explains each one.",
    ),
    "noise": ("Noise models", "The law of the noise of a measurement, see [noise models](../noise.md)."),
    "prior": ("Priors", "Hand-crafted priors, denoisers and trained networks, see [choose a method](../choose.md)."),
    "solver": ("Solvers", "How the image is estimated, see [solvers](../solvers.md)."),
    "process": (
        "Forward processes",
        "The levels of a degradation that a network learns, see [training](../training.md).",
    ),
    "network": ("Networks", "Restorers and critics of a [training configuration](../training.md)."),
    "objective": ("Objectives", "What training minimises, see [objectives](../training.md#objectives)."),
    "data": ("Data sources", "Where training images come from, see [your data](../your-data.md)."),
    "metric": ("Metrics", "How restorations are measured, see [experiments](../experiments.md#metrics)."),
    "features": ("Features", "By what `rgmkit evaluate` compares images, see [evaluation](../evaluation.md)."),
    "comparison": ("Comparisons", "Distances between sets of images, see [evaluation](../evaluation.md)."),
    "bridge": ("Bridges", "Other libraries whose objects can be used as they are, see [deepinv](../deepinv.md)."),
}
"""Title and introduction of the page of each kind of component."""

NAMES = {
    "Restore, generate, train": ("restore", "generate", "train", "evaluate", "load"),
    "Pictures": ("read", "write"),
    "Components by name": (*("available", "describe", "degradation", "noise", "prior", "solver", "process", "metric"),),
    "Results": ("Solution", "Evaluation"),
    "Base classes": (
        *("Degradation", "Noise", "Prior", "RestoringPrior", "Solver", "Problem", "ForwardProcess", "Objective"),
        *("Metric", "Component", "hookimpl", "Streams"),
    ),
    "Errors and warnings": (
        *("RgmkitError", "ConfigError", "DataError", "IncompatibleError", "CheckpointError", "PluginError"),
        *("TrainingError", "AccuracyWarning", "PriorWarning", "RangeWarning"),
    ),
}
"""The public names by section."""

INTRODUCTION = """# Python

`rgmkit.__version__` is the version. `rgmkit.degradations`, `rgmkit.priors` and `rgmkit.solvers` have the classes of the
built-in components, such as `rgmkit.degradations.Blur(std=2)`; the pages of [degradations](degradation.md),
[priors](prior.md) and [solvers](solver.md) have their options.
"""

MORE = {
    "In modules": (
        *("rgmkit.training.preset", "rgmkit.experiments.pipeline.run", "rgmkit.images.sheet.make_sheet"),
        *("rgmkit.testing.checks", "rgmkit.testing.check_all", "rgmkit.testing.run_checks"),
        *("rgmkit.testing.conformance", "rgmkit.testing.calibration.measure_calibration"),
    )
}
"""Functions that the guides name and that are not in the top package."""


def make_pages() -> dict[str, str]:
    """Write all pages of the reference, by their names relative to docs/."""
    from rgmkit.plugins import list_components

    kinds = {kind: _describe_kind(kind) for kind in {c.kind: None for c in list_components()}}
    return {f"reference/{kind}.md": page for kind, page in kinds.items()} | {
        "reference/configuration.md": describe_configuration(),
        "reference/api.md": describe_names(),
    }


def _describe_kind(kind: str) -> str:
    from rgmkit.plugins import list_components

    title, introduction = KINDS[kind]
    components = [component for component in list_components(kind) if component.distribution == "rgmkit"]
    listed = ["| name | |", "|---|---|"]
    listed += [f"| [`{c.name}`](#{_anchor(c.name)}) | {cell(c.summary)} |" for c in components]
    return "\n".join(
        [
            f"# Options of {title[0].lower()}{title[1:]}\n\n{introduction}\n",
            *listed,
            "",
            *map(_describe_component, components),
        ]
    )


def _anchor(name: str) -> str:
    return name.lower().replace(".", "")


def _describe_component(component: Any) -> str:
    from rgmkit import plugins
    from rgmkit.models.catalogue import describe_component

    facts = describe_component(component)
    cls = plugins.load_class(component.kind, plugins.address(component))
    text, _ = split(facts["description"])
    lines = [f"## {component.name} {{: #{_anchor(component.name)} }}\n", to_markdown(text), ""]
    if facts["options"]:
        meanings = _collect_meanings(cls)
        lines += ["| option | value | default | meaning |", "|---|---|---|---|"]
        lines += [_describe_option(option, meanings.get(option["name"], "")) for option in facts["options"]]
    lines.append(f"\nClass `{facts['target'].replace(':', '.')}`\n{{: .source }}\n")
    return "\n".join(lines)


def _collect_meanings(cls: type) -> dict[str, str]:
    """Return the meanings of options from the docstrings of a class, its constructor and its bases."""
    found: dict[str, str] = {}
    for base in cls.__mro__:
        for docstring in (base.__dict__.get("__doc__"), inspect.getdoc(base.__init__)):
            found = split(inspect.cleandoc(docstring or ""))[1] | found
    return found


def _describe_option(option: Mapping[str, Any], meaning: str) -> str:
    default = "required" if option["required"] else f"`{option['default']}`"
    default = "set by the training run" if option["given"] else default
    return f"| `{option['name']}` | {cell(option['type'])} | {default} | {cell(meaning)} |"


def describe_configuration() -> str:
    """Describe the keys of the YAML files that `rgmkit train` and `rgmkit run` read."""
    from rgmkit.experiments import config, methods, photographs
    from rgmkit.training.settings import TrainingSettings

    return "\n".join(
        [
            "# YAML files\n",
            "Where a component is asked for, give its name, `name:option=value,option=value`, or",
            "`{use: name, option: value}`; paths are relative to the YAML file. `--set path=value` changes a key.\n",
            "## Training\n",
            "The keys of a configuration for `rgmkit train`, which [training](../training.md) explains.\n",
            _quote_training_keys(),
            "\n### training: {: #training-settings }\n",
            _describe_fields(TrainingSettings),
            "\n## Grids\n",
            "The keys of a grid for `rgmkit run`, which [experiments](../experiments.md) explains.\n",
            _describe_fields(config.GridSchema),
            "\n### data: {: #grid-data }\n",
            _describe_fields(photographs.Photographs),
            "\n### method: {: #grid-method }\n",
            _describe_fields(methods.MethodSchema),
            "\n### tune: {: #grid-tune }\n",
            _describe_fields(config.TuningSchema),
            "",
        ]
    )


def _quote_training_keys() -> str:
    """Return the table of docs/training.md with the keys of a configuration.

    Raises:
        ValueError: if a key is missing.
    """
    from rgmkit.training.configuration import KEYS

    text = (DOCS / "training.md").read_text("utf-8")
    (table,) = re.findall(r"^\| key \| default \| meaning \|\n(?:\|.*\n)+", text, re.MULTILINE)
    missing = [key for key in KEYS if f"| `{key}` |" not in table]
    if missing:
        raise ValueError(f"docs/training.md does not explain the keys {missing}")
    return re.sub(r"\]\(#", "](../training.md#", table)


def _describe_fields(cls: Any) -> str:
    """Make a table of the fields of a dataclass.

    Raises:
        ValueError: if the docstring leaves a field out.
    """
    from rgmkit.config import describe, options_of

    _, meanings = split(inspect.getdoc(cls) or "")
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(cls):
        option = options_of(cls)[field.name]
        default = "required" if option.required else f"`{_plain(option.default)}`"
        if field.name not in meanings:
            raise ValueError(f"the docstring of {cls.__name__} does not explain {field.name}")
        value = cell(describe(option.type))
        rows.append(f"| `{field.name}` | {value} | {default} | {cell(meanings[field.name])} |")
    return "\n".join(rows)


def _plain(value: Any) -> str:
    words = {None: "null", True: "true", False: "false", "": "''"}
    if isinstance(value, tuple):
        return str(list(value))
    return words.get(value, str(value)) if isinstance(value, (bool, str, type(None))) else str(value)


def describe_names() -> str:
    """Ask mkdocstrings for the public names, by section; one without a section comes last."""
    import rgmkit

    stub = (ROOT / "rgmkit/__init__.pyi").read_text("utf-8")
    homes = {name: f"rgmkit.{module}.{name}" for module, name in re.findall(r"from \.([\w.]+) import (\w+)", stub)}
    listed = {name for names in NAMES.values() for name in names}
    others = tuple(name for name in rgmkit.__all__ if name in homes and name not in listed)
    parts = [INTRODUCTION]
    for title, names in (NAMES | ({"Others": others} if others else {})).items():
        parts += [f"## {title}\n", *(_directive(homes[name], f"rgmkit.{name}") for name in names)]
    for title, names in MORE.items():
        parts += [f"## {title}\n", *(_directive(name, name) for name in names)]
    return "\n".join(parts)


def _directive(identifier: str, heading: str) -> str:
    return f"::: {identifier}\n    options:\n      heading: {heading}\n"
