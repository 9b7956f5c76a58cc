"""A model as it is asked for: `runs/faces`, `digits:dtype=bf16`, or `{use: runs/faces, dtype: bf16}`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rgmkit import models
from rgmkit.config import Spec, make, parse_spec
from rgmkit.core.prior import RestoringPrior
from rgmkit.precision import Precision


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The options of a model: how its network is evaluated, see `rgmkit.load`."""

    dtype: Precision = "float32"
    compile: bool = False


@dataclass(frozen=True)
class ModelSpec:
    """A model folder, or the name of a shipped model, and the options that it was asked for with."""

    where: str | Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> RestoringPrior:
        """The prior of the model.

        Raises:
            ConfigError: for an option that a model has not.
            CheckpointError: if there is no such model, or it is damaged.
        """
        evaluation = make(Evaluation, self.options, path="prior", what=f"the model {str(self.where)!r}")
        return models.load(self.where, **asdict(evaluation))


def model_spec(asked: Any, folder: Path | None = None) -> ModelSpec | None:
    """The model that is asked for; None if it is a component, or something else.

    A model is a folder that exists, the name of a shipped model, or any name with a path separator before its options.

    Args:
        asked: a name, a path, a spec string, a `Spec`, or a mapping with `use`.
        folder: what a path is relative to. Default: the working directory.

    >>> model_spec("digits:dtype=bf16")
    ModelSpec(where='digits', options={'dtype': 'bf16'})
    >>> model_spec("tv:weight=2") is None
    True
    """
    if isinstance(asked, Path) or (isinstance(asked, str) and os.path.isdir((folder or Path()) / asked)):
        return ModelSpec(_placed(asked, folder))
    spec = _as_spec(asked)
    if spec is None:
        return None
    is_path = "/" in spec.name or "\\" in spec.name or Path(spec.name).suffix.lower() in models.CHECKPOINTS
    if is_path or ((folder or Path()) / spec.name).is_dir():
        return ModelSpec(_placed(spec.name, folder), spec.options)
    return ModelSpec(spec.name, spec.options) if spec.name in models.shipped() else None


def _as_spec(asked: Any) -> Spec | None:
    if isinstance(asked, str):
        return parse_spec(asked)
    if isinstance(asked, Mapping):
        options = dict(asked)
        name = options.pop("use", None)
        return Spec(name, options) if isinstance(name, str) else None
    return asked if isinstance(asked, Spec) else None


def _placed(path: str | Path, folder: Path | None) -> str | Path:
    return path if folder is None else folder / path
