"""Read what the page asks for: components by name, and options as text that is checked as in a spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rgmkit.config import parse_value
from rgmkit.errors import ConfigError, PluginError
from rgmkit.images.axes import check_axes
from rgmkit.images.value_range import Range, check_range
from rgmkit.lab.pictures import Upload

MOST_SAMPLES, MOST_IMAGES = 64, 256
Forms = Mapping[str, list[dict[str, Any]]]


@dataclass
class Files:
    """Files that the page sent for options, such as a mask; nothing else is ever opened."""

    uploads: dict[str, Upload] = field(default_factory=dict)
    folder: Path | None = None

    def add(self, upload: Upload) -> str:
        """Add a file, and return the name by which options refer to it.

        Raises:
            ConfigError: if another file has its name.
        """
        if self.uploads.setdefault(upload.name, upload).data != upload.data:
            raise ConfigError(f"two files are named {upload.name!r}: rename one of them")
        return upload.name

    def place(self, file: Path, path: str) -> Path:
        """Return where an uploaded file lies, for `rgmkit.config.build`.

        Raises:
            ConfigError: for any other file.
        """
        name = str(file)
        if name not in self.uploads or self.folder is None:
            raise ConfigError(f"{path} is the file {name!r}: the lab opens only files that were given to the page")
        return self.uploads[name].store(self.folder)


@dataclass(frozen=True)
class RestoreRequest:
    """A picture, what happens or happened to it, and how it is restored.

    Attributes:
        simulate: whether the picture is the true image, which is degraded first.
        degradation, noise, prior, solver: `{use: name, option: value}`; None: unknown noise, no prior, the default.
        side: longest side to which the true image is shrunk.
    """

    picture: Upload
    simulate: bool
    degradation: dict[str, Any]
    noise: Any
    prior: dict[str, Any] | None
    solver: dict[str, Any] | None
    samples: int | None
    seed: int
    side: int | None
    axes: str | None
    range: Range | None
    files: Files

    @staticmethod
    def of(given: Mapping[str, Any], forms: Forms) -> RestoreRequest:
        """Read the request of the page.

        Raises:
            ConfigError, PluginError, DataError: if something is missing or wrong.
        """
        files = Files()
        chosen = {kind: read_component(kind, given.get(kind), forms, files) for kind in forms}
        degradation = chosen["degradation"]
        if degradation is None:
            raise ConfigError("choose a degradation")
        ends = str(given.get("range") or "")
        return RestoreRequest(
            picture=Upload.of(given.get("picture")),
            simulate=given.get("simulate") is not False,
            degradation=degradation,
            noise=_simplify(chosen["noise"]) if _is_noisy(degradation["use"], forms) else None,
            prior=chosen["prior"],
            solver=chosen["solver"],
            samples=read_number(given, "samples", 1, MOST_SAMPLES),
            seed=read_number(given, "seed", -(2**63), 2**63) or 0,
            side=read_number(given, "side", 8, None),
            axes=check_axes(str(given["axes"])) if given.get("axes") else None,
            range=check_range(tuple(ends.split(","))) if ends else None,
            files=files,
        )


@dataclass(frozen=True)
class GenerateRequest:
    """A model, and how many images it draws."""

    model: dict[str, Any]
    solver: dict[str, Any] | None
    count: int
    seed: int

    @staticmethod
    def of(given: Mapping[str, Any], forms: Forms) -> GenerateRequest:
        """Read the request of the page; see `RestoreRequest.of`."""
        model = read_component("prior", given.get("prior"), forms, Files())
        if model is None or not find_form("prior", model["use"], forms).get("model"):
            raise ConfigError("choose a model")
        solver = read_component("solver", given.get("solver"), forms, Files())
        count = read_number(given, "count", 1, MOST_IMAGES) or 16
        return GenerateRequest(model, solver, count, read_number(given, "seed", -(2**63), 2**63) or 0)


def read_component(kind: str, given: Any, forms: Forms, files: Files) -> dict[str, Any] | None:
    """Read `{name, options: {option: text or file}}` as `{use: name, option: value}`; empty options are left out.

    Raises:
        PluginError: for a name that is not in the forms, such as a path.
        ConfigError: if a text is not a value.
    """
    if not given or not isinstance(given, Mapping):
        return None
    found = {"use": find_form(kind, given.get("name"), forms)["name"]}
    options = given.get("options")
    for name, value in options.items() if isinstance(options, Mapping) else ():
        if isinstance(value, Mapping):
            found[name] = files.add(Upload.of(value))
        elif str(value).strip():
            found[name] = parse_value(str(value), f"{kind}.{name}:")
    return found


def find_form(kind: str, name: Any, forms: Forms) -> dict[str, Any]:
    """Return the form of a component.

    Raises:
        PluginError: if there is none of this name.
    """
    for form in forms[kind]:
        if form["name"] == name:
            return form
    raise PluginError(f"the lab has no {kind} {str(name)[:80]!r}: choose one of the list")


def read_number(given: Mapping[str, Any], name: str, least: int, most: int | None) -> int | None:
    """Read a whole number from a text field; None if it is empty.

    Raises:
        ConfigError: if it is something else, or out of range.
    """
    text = str(given.get(name) if given.get(name) is not None else "").strip()
    if not text:
        return None
    try:
        number = int(text)
    except ValueError:
        raise ConfigError(f"{name} is {text[:40]!r}: give a whole number") from None
    if number < least or (most is not None and number > most):
        raise ConfigError(f"{name} is {number}: give {least} or more" + ("" if most is None else f", {most} at most"))
    return number


def _simplify(noise: dict[str, Any] | None) -> Any:
    """Write white noise as its std, which is how a user would."""
    return noise["std"] if noise and noise["use"] == "white" and set(noise) == {"use", "std"} else noise


def _is_noisy(degradation: str, forms: Forms) -> bool:
    return find_form("degradation", degradation, forms)["noisy"]
