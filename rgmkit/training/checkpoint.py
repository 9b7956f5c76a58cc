"""Checkpoints: the state of a run, in a file that is whole or not there."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch

from rgmkit.errors import CheckpointError, ConfigError
from rgmkit.files import written_aside
from rgmkit.training.setup import Run

KEEP = 2
_NAME = re.compile(r"step-(\d+)\.pt")


def open_folder(out: Path, run: Run, *, resume: bool) -> None:
    """Make `out` ready: new or empty, or, to resume, with its last whole checkpoint put into `run`.

    Raises:
        ConfigError: if the folder holds something and `resume` was not asked for.
        CheckpointError: if there is nothing to resume, or it is of another configuration.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file: give a folder for the model")
    if resume:
        _load_last(out, run)
    elif out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty: give another folder with -o, or go on with what is there with --resume")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {out}: {error.strerror}") from error


def save_checkpoint(run: Run, out: Path) -> Path:
    """Write the state of `run` to `out/checkpoints` and drop all but the newest two."""
    state: dict[str, Any] = {name: part.state_dict() for name, part in run.parts().items()}
    state |= {"step": run.step, "seconds": run.seconds, "config": fingerprint(run.config)}
    path = out / "checkpoints" / f"step-{run.step:08d}.pt"
    with written_aside(path) as part:
        torch.save(state, part)
    for old in _checkpoints(out)[:-KEEP]:
        old.unlink()
    return path


def _load_last(out: Path, run: Run) -> None:
    found = _checkpoints(out)
    if not found:
        raise CheckpointError(f"{out} has no checkpoint to resume: start without --resume")
    state = _first_whole(found)
    if state["config"] != fingerprint(run.config):
        raise CheckpointError(
            f"{out} was trained with another configuration: resume with the one it was started with, "
            f"or train into another folder"
        )
    for name, part in run.parts().items():
        part.load_state_dict(state[name])
    run.step, run.seconds = state["step"], state["seconds"]


def _first_whole(paths: list[Path]) -> dict[str, Any]:
    """The newest checkpoint that can be read."""
    for path in reversed(paths):
        try:
            # Tensors and plain values only: nothing in the file is executed.
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, ValueError, KeyError):
            continue
    raise CheckpointError(f"{paths[-1]} is cut or damaged, and there is no whole one before it: train again")


def _checkpoints(out: Path) -> list[Path]:
    folder = out / "checkpoints"
    return sorted(path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name))


def fingerprint(config: dict[str, Any]) -> str:
    """The configuration as text, without what may change between two parts of a run."""
    free = {"checkpoint_every", "preview_every", "threads"}
    training = {k: v for k, v in (config.get("training") or {}).items() if k not in free}
    rest = {k: v for k, v in config.items() if k not in ("training", "plugins")}
    return repr(sorted((key, _plain(value)) for key, value in {**rest, "training": training}.items()))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return repr(sorted((key, _plain(inner)) for key, inner in value.items()))
    return type(value).__name__ if isinstance(value, torch.nn.Module) else repr(value)
