"""Read YAML files, spec strings, and `path=value` overrides."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rgmkit.config.yaml12 import YAMLError, dump_flow, is_whole_value, load_yaml
from rgmkit.errors import ConfigError
from rgmkit.runtime.files import MISSING, explain_unreadable


@dataclass(frozen=True)
class Spec:
    """The name of a component and its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


def parse_value(text: str, where: str = "value") -> Any:
    """Read a YAML value.

    >>> parse_value("1e-3"), parse_value("[1, two]"), parse_value("on")
    (0.001, [1, 'two'], 'on')
    """
    try:
        value = load_yaml(text)
    except YAMLError as error:
        raise ConfigError(f"{where} {text!r} is not valid YAML: {_describe_problem(error)}") from error
    if not is_whole_value(text):
        raise ConfigError(f"{where} {text!r} has a YAML comment or marker, which is not a value: put it in quotes")
    return value


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read the mapping in a YAML file.

    Raises:
        ConfigError: if the file is missing, is not YAML, gives a key twice or is not a mapping.
    """
    path = Path(path)
    problem = explain_unreadable(path)
    if problem not in (None, MISSING):
        raise ConfigError(f"cannot read {path}: it {problem}")
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {_describe_problem(error)}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}: write 'name: value' lines")
    for key in content:
        if not isinstance(key, str):
            raise ConfigError(f"{path} has the key {key!r}: keys are names")
    return content


def take_plugins(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Load the files in the `plugins` list of `options`, relative to `folder`; return the other options.

    Raises:
        ConfigError: if it is not a list of files.
        PluginError: if a file is missing or fails.
    """
    from rgmkit import plugins

    rest = dict(options)
    files = rest.pop("plugins", None)
    files = [] if files is None else files
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise ConfigError(f"plugins is {files!r}: give a list of Python files, such as [ops.py]")
    for file in files:
        plugins.add_file(folder / os.path.expanduser(file))
    return rest


def override(options: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Copy `options` and apply `path=value` assignments; values are YAML.

    A component given by its name alone, `process: gaussian`, becomes `{use: gaussian}` if the path leads into it.
    A whole number in a path is an index of a list.

    Raises:
        ConfigError: if an assignment is not of this form, or its path leads into a plain value.

    >>> override({"process": "gaussian"}, ["process.levels=4", "train.rate=1e-3"])
    {'process': {'use': 'gaussian', 'levels': 4}, 'train': {'rate': 0.001}}
    >>> override({"method": [{"prior": "tv"}]}, ["method.0.prior.weight=2"])
    {'method': [{'prior': {'use': 'tv', 'weight': 2}}]}
    """
    result: dict[str, Any] = _copy(options)
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise ConfigError(f"{assignment!r} is not of the form path=value, such as process.levels=4")
        section: Any = result
        for depth, key in enumerate(keys[:-1]):
            place = _find_key(section, key, assignment)
            inner = _expand_name(section[place] if isinstance(section, list) else section.get(place))
            if not isinstance(inner, (dict, list)):
                raise ConfigError(f"{assignment!r}: {'.'.join(keys[: depth + 1])} is {inner!r} and has no options")
            section[place] = inner
            section = inner
        section[_find_key(section, keys[-1], assignment)] = parse_value(value, path)
    return result


def _find_key(section: dict[str, Any] | list[Any], key: str, assignment: str) -> Any:
    """Read a part of a path as the key of a mapping or the index of a list."""
    if isinstance(section, dict):
        return key
    if not key.isdecimal() or int(key) >= len(section):
        raise ConfigError(f"{assignment!r}: {key!r} is not an index of a list of {len(section)}: give a number from 0")
    return int(key)


def _expand_name(value: Any) -> Any:
    """Expand a component given by its name, or None, to a mapping to which options can be added."""
    if not isinstance(value, str):
        return {} if value is None else value
    spec = parse_spec(value)
    return {"use": spec.name, **spec.options}


def _copy(value: Any) -> Any:
    """Copy mappings and lists, but not the objects in them."""
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def parse_spec(text: str) -> Spec:
    """Read a spec `name:key=value,key=value`; values are YAML, and may hold commas inside brackets or quotes.

    Raises:
        ConfigError: if the text is not of this form.

    >>> parse_spec("blur:std=2,noise=1e-2")
    Spec(name='blur', options={'std': 2, 'noise': 0.01})
    """
    name, _, rest = text.partition(":")
    if not name.strip():
        raise ConfigError(f"spec {text!r} has no name: write name:key=value,key=value")
    options: dict[str, Any] = {}
    for part in _split(rest, text) if rest.strip() else ():
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals or not key.isidentifier() or not value.strip():
            raise ConfigError(f"{part.strip()!r} in {text!r} is not of the form key=value")
        if key in options:
            raise ConfigError(f"{key!r} is given twice in {text!r}")
        options[key] = parse_value(value, f"{key} in {text!r}:")
    return Spec(name.strip(), options)


def read_spec(given: Any) -> Spec | None:
    """Read the name and options of a component from a spec string, a mapping with `use` or a `Spec`.

    Return None for anything else, such as an object.

    >>> read_spec({"use": "blur", "std": 2})
    Spec(name='blur', options={'std': 2})
    """
    if isinstance(given, str):
        return parse_spec(given)
    if isinstance(given, Mapping) and isinstance(given.get("use"), str):
        return Spec(given["use"], {name: value for name, value in given.items() if name != "use"})
    return given if isinstance(given, Spec) else None


def is_number(noise: Any) -> bool:
    """Tell whether a noise is given by its std, a number or its text."""
    try:
        float(noise)
    except (TypeError, ValueError):
        return False
    return True


def spec_text(content: Mapping[str, Any]) -> str:
    """Write a component, `{use: name, option: value}` in plain values, as a spec that `parse_spec` reads.

    >>> spec_text({"use": "folder", "path": "pictures", "size": 64, "flip": True})
    'folder:path=pictures,size=64,flip=true'
    """
    options = ",".join(f"{key}={dump_flow(value)}" for key, value in content.items() if key != "use")
    return f"{content.get('use')}:{options}".rstrip(":")


def _split(text: str, whole: str) -> Iterator[str]:
    """Split at the commas that are outside brackets and quotes."""
    depth, quote, start, escaped = 0, "", 0, False
    for i, char in enumerate(text):
        if escaped:
            escaped = False
        elif quote:
            escaped = quote == '"' and char == "\\"
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in "]})":
            depth -= 1
        elif char == "," and depth == 0:
            yield text[start:i]
            start = i + 1
    if depth or quote:
        raise ConfigError(f"spec {whole!r} has an open bracket or quote: close it")
    yield text[start:]


def _describe_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    text = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"{text} (line {mark.line + 1}, column {mark.column + 1})" if mark else text
