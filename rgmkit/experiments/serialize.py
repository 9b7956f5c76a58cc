"""Serialize a grid as plain values for grid.yaml, and find what differs between two grids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rgmkit.config import Spec, dump_flow, is_number, spec_text
from rgmkit.core.printable import GIVEN

ABSENT = "not there"


def to_plain(value: Any) -> Any:
    """Convert a value to what YAML can store; an object becomes its class name and a digest of its content.

    >>> to_plain({"seeds": (0, 1), "solver": Spec("admm", {"step": 1})})
    {'seeds': [0, 1], 'solver': {'use': 'admm', 'step': 1}}
    """
    if isinstance(value, Spec):
        return {"use": value.name, **to_plain(value.options)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(inner) for inner in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (Integral, Real)):
        return int(value) if isinstance(value, Integral) else float(value)
    return _describe(value)


def label_of(spec: Any) -> str:
    """Format a component in one short line, as on the command line.

    >>> label_of({"use": "blur", "std": 2, "noise": 0.02})
    'blur:std=2,noise=0.02'
    """
    if isinstance(spec, (str, Path)):
        return str(spec)
    if not isinstance(spec, (Mapping, Spec)):
        return type(spec).__name__
    return spec_text({key: value for key, value in to_plain(spec).items() if key != "name"})


def find_difference(old: Any, new: Any, path: str = "") -> str | None:
    """Describe the first difference between two plain grids; None if they are equal.

    >>> find_difference({"seeds": [0, 1]}, {"seeds": [0, 2]})
    'seeds[1] is 2, and was 1'
    """
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = [(_join(path, key), old.get(key, ABSENT), new.get(key, ABSENT)) for key in {**old, **new}]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(f"{path}[{i}]", a, b) for i, (a, b) in enumerate(zip(old, new, strict=True))]
    else:
        return None if old == new else f"{path} is {_shorten(new)}, and was {_shorten(old)}"
    return next((found for where, a, b in pairs if (found := find_difference(a, b, where))), None)


def _describe(thing: Any) -> str:
    """Describe an object by its class and a digest of its content, so that different objects differ."""
    digest = hashlib.sha256()
    for part in _iterate_parts(thing, set()):
        digest.update(part)
    return f"python.{type(thing).__qualname__}.{digest.hexdigest()[:12]}"


def _iterate_parts(value: Any, seen: set[int]) -> Iterator[bytes]:
    """Iterate over the content of a value as bytes, each object once."""
    yield type(value).__qualname__.encode()
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, Path)):
        yield repr(value).encode()
    elif id(value) in seen:
        return
    elif isinstance(value, (torch.Tensor, np.ndarray)):
        yield repr((value.dtype, tuple(value.shape))).encode()
        yield torch.as_tensor(value).detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    else:
        seen.add(id(value))
        if isinstance(value, Mapping):
            items = list(value.items())
        else:
            items = list(enumerate(value)) if isinstance(value, (list, tuple)) else _fields(value)
        for key, inner in items:
            yield repr(key).encode()
            yield from _iterate_parts(inner, seen)


def _fields(value: Any) -> list[tuple[Any, Any]]:
    if callable(value) and not isinstance(value, nn.Module):
        return []
    return sorted((key, inner) for key, inner in getattr(value, "__dict__", {}).items() if key != GIVEN)


def _shorten(value: Any) -> str:
    text = value if value is ABSENT else dump_flow(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def quote_formula(text: str) -> str:
    """Return a text for a cell of a CSV file: a spreadsheet would execute one that begins as a formula does.

    >>> quote_formula("=1+1"), quote_formula("-1.5"), quote_formula("cat")
    ("'=1+1", '-1.5', 'cat')
    """
    return f"'{text}" if _is_formula(text) else text


def unquote_formula(cell: str) -> str:
    """Return the text that `quote_formula` made a cell of."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell) else cell


def _is_formula(text: str) -> bool:
    return text.lstrip("'").startswith(("=", "+", "-", "@", "\t", "\r")) and not is_number(text)
