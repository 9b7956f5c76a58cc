"""Find model folders and read their configurations, without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rgmkit import plugins
from rgmkit.config import Spec, parse_spec, read_spec, read_yaml
from rgmkit.deprecation import current_model
from rgmkit.errors import CheckpointError, ConfigError, PluginError

CONFIG, WEIGHTS, CARD = "config.yaml", "model.safetensors", "README.md"
CHECKPOINTS = frozenset({".pth", ".pt", ".ckpt", ".safetensors"})  # file endings of weights outside a model folder
PUBLISHED = CHECKPOINTS | {".mat", ".npz", ".mpk"}  # of weights that a prior may be given by
SHIPPED = Path(__file__).parent / "shipped"
HUB = "hf:"  # starts the name of a model on the hub
BLURS = ("blur", "motion-blur")  # whose boundary was circular by default in version 0.1


@dataclass(frozen=True)
class ModelSpec:
    """A model folder, a weights file, or the name of a shipped model or of one on the hub; and its options."""

    where: str | Path
    options: Mapping[str, Any] = field(default_factory=dict)


def find_model(given: Any, folder: Path | None = None) -> ModelSpec | None:
    """Find the model that `given` names: `runs/faces`, `digits:dtype=bf16`, or `{use: runs/faces, dtype: bf16}`.

    Return None for a component or any other object. A model is a folder that exists, the name of a shipped model, a
    file of published weights (`weights.pth`, or `{use: spandrel, path: weights.pth}`), a model on the hub
    (`hf:user/repo`), or any name with a path separator before its options.

    Args:
        given: a name, a path, a spec string, a `Spec`, or a mapping with `use`.
        folder: what a path is relative to. Default: the working directory.

    >>> find_model("digits:dtype=bf16")
    ModelSpec(where='digits', options={'dtype': 'bf16'})
    >>> find_model("tv:weight=2") is None
    True
    """
    if isinstance(given, str) and given.startswith(HUB):
        name, _, options = given.removeprefix(HUB).partition(":")
        return ModelSpec(HUB + name, parse_spec(f"model:{options}").options)
    base = folder or Path()
    if isinstance(given, Path) or (isinstance(given, str) and _is_local(given, base)):
        return ModelSpec(given if folder is None else folder / given)
    spec = read_spec(given)
    if spec is None:
        return None
    if is_on_hub(spec.name):
        return ModelSpec(spec.name, spec.options)
    if spec.name == "spandrel":
        spec = _name_file(spec)
    is_path = "/" in spec.name or "\\" in spec.name or is_weights_file(spec.name)
    if is_path or _is_local(spec.name, base):
        return ModelSpec(spec.name if folder is None else folder / spec.name, spec.options)
    name = current_model(spec.name)
    return ModelSpec(name, spec.options) if name in list_shipped() else None


def _is_local(name: str, base: Path | None = None) -> bool:
    """Tell whether a name is that of a folder; one without a model, such as data, hides no other name.

    >>> _is_local("digits")
    False
    """
    folder = (base or Path()) / name
    if not os.path.isdir(folder):
        return False
    known = {*list_shipped(), *(component.name for component in plugins.list_components("prior"))}
    return os.path.isfile(folder / CONFIG) or current_model(name) not in known


def _name_file(spec: Spec) -> Spec:
    """Return the spec of a weights file, named by its path."""
    options = dict(spec.options)
    path = options.pop("path", None)
    if not isinstance(path, (str, Path)) or not is_weights_file(path):
        raise ConfigError(f"prior spandrel has path {path!r}: give a file of weights ({', '.join(sorted(PUBLISHED))})")
    return Spec(str(path), options)


def is_on_hub(model: object) -> bool:
    """Tell whether a model is named as one on the Hugging Face hub.

    >>> is_on_hub("hf:user/repo"), is_on_hub("runs/mine")
    (True, False)
    """
    return isinstance(model, str) and model.startswith(HUB)


def is_weights_file(model: str | Path) -> bool:
    """Tell whether a name has the ending of a file of published weights, and is no folder.

    >>> is_weights_file("dncnn_25.pth"), is_weights_file("digits")
    (True, False)
    """
    path = Path(model)
    return path.suffix.lower() in PUBLISHED and not os.path.isdir(path) and not is_on_hub(model)


def find_prior(given: Any, folder: Path | None = None) -> ModelSpec | Spec | None:
    """Find the model or the prior component that `given` names; return None for an object.

    Raises:
        PluginError: if the name is neither.

    >>> find_prior("tv:weight=2")
    Spec(name='tv', options={'weight': 2})
    """
    found = find_model(given, folder) or read_spec(given)
    if isinstance(found, Spec):
        try:
            plugins.lookup("prior", found.name)
        except PluginError as error:
            raise PluginError(f"{error}; models: {', '.join(list_shipped()) or 'none'}, or a folder ./NAME") from error
    return found


def list_shipped() -> list[str]:
    """List the models that come with rgmkit."""
    return sorted(config.parent.name for config in SHIPPED.glob(f"*/{CONFIG}"))


def locate(model: str | Path) -> Path:
    """Return the folder of a model: a path if it exists or has a separator, else a shipped model of that name.

    A model on the hub is downloaded unless the cache has it.

    Raises:
        CheckpointError: if there is neither.
    """
    if is_on_hub(model):
        from rgmkit.models.hub import download

        return download(str(model))
    path = Path(model)
    if _is_local(model) if isinstance(model, str) else os.path.isdir(path):
        return path
    if path.suffix.lower() in CHECKPOINTS:
        raise CheckpointError(f"{model} is a file of weights: make a model folder of it with `rgmkit convert`")
    if isinstance(model, Path) or "/" in model or "\\" in model:
        raise CheckpointError(
            f"{model} is not a model folder: give the folder that `rgmkit train` wrote, or hf:user/repo"
        )
    name = current_model(model)
    if name in list_shipped():
        return SHIPPED / name
    raise CheckpointError(f"no model {model!r}: give a model folder, or a shipped model ({', '.join(list_shipped())})")


def read_config(model: str | Path) -> dict[str, Any]:
    """Read the configuration in a model folder, or of a shipped model.

    Raises:
        CheckpointError: if there is no such model.
        ConfigError: if it is not YAML.
    """
    folder = locate(model)
    if not os.path.isfile(folder / CONFIG):
        raise CheckpointError(f"{folder} has no {CONFIG}: it is not a model folder")
    return set_boundaries(set_severities(read_yaml(folder / CONFIG), None), "circular")


def set_severities(config: dict[str, Any], default: list[float] | None) -> dict[str, Any]:
    """Return a configuration whose process `severity`, if it has one, names its severities.

    Model folders name them; in those of version 0.1, which do not, severity and noise increase together (None).

    >>> set_severities({"process": "severity:levels=3"}, [0, 1])
    {'process': {'use': 'severity', 'severities': [0, 1], 'levels': 3}}
    """
    spec = read_spec(config.get("process"))
    if spec is None or spec.name != "severity":
        return config
    return {**config, "process": {"use": spec.name, "severities": default, **spec.options}}


def set_boundaries(config: dict[str, Any], default: str) -> dict[str, Any]:
    """Return a configuration in which each blur that the process simulates names its boundary.

    Model folders name it; in those of version 0.1, which do not, it is circular.

    >>> set_boundaries({"process": {"use": "severity", "degradation": "blur:std=2"}}, "circular")
    {'process': {'use': 'severity', 'degradation': {'use': 'blur', 'boundary': 'circular', 'std': 2}}}
    """
    spec = read_spec(config.get("process"))
    if spec is None or "degradation" not in spec.options:
        return config
    named = name_boundary(spec.options["degradation"], default)
    return {**config, "process": {"use": spec.name, **spec.options, "degradation": named}}


def name_boundary(degradation: Any, default: str) -> Any:
    """Return the spec of a degradation in which each blur names its boundary."""
    spec = read_spec(degradation)
    if spec is None:
        return degradation
    if spec.name in BLURS:
        return {"use": spec.name, "boundary": default, **spec.options}
    if not isinstance(spec.options.get("of"), (list, tuple)):
        return degradation
    return {"use": spec.name, **spec.options, "of": [name_boundary(step, default) for step in spec.options["of"]]}


def check_model(model: str | Path) -> None:
    """Raise a CheckpointError or a ConfigError unless a model has a configuration and weights, or is a weights file."""
    if is_weights_file(model):
        if not os.path.isfile(model):
            raise CheckpointError(f"{model} does not exist")
        return
    read_config(model)
    weights_file(locate(model))


def weights_file(folder: Path) -> Path:
    """Return the file of the weights in a model folder.

    Raises:
        CheckpointError: if it is missing.
    """
    if not os.path.isfile(folder / WEIGHTS):
        raise CheckpointError(f"{folder} has no {WEIGHTS}: copy the whole model folder, or train it again")
    return folder / WEIGHTS
