"""Save and load checkpoints: the state of a run, in a file that is complete or absent."""

from __future__ import annotations

import ast
import io
import os
import pickle
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from rgmkit.deprecation import COMPONENTS
from rgmkit.errors import CheckpointError, ConfigError, describe_error
from rgmkit.runtime.files import FOLDER as IS_FOLDER
from rgmkit.runtime.files import MISSING, check_name, explain_unreadable, write_aside
from rgmkit.runtime.lock import LOCK, OWNER, lock_folder
from rgmkit.training.setup import Run

FOLDER = "checkpoints"
CHANGEABLE = frozenset(
    {
        "accumulate", "checkpoint_every", "checkpoint_minutes", "critic_limit", "keep", "preview_every", "threads",
        "workers",
    }
)  # fmt: skip
"""Options of `training:` that may change when a run is resumed."""

_OLD_FIDELITY = re.compile(r"\('fidelity', '0\.001'\), |, \('fidelity', '0\.001'\)")  # the default of version 0.1
_NAME = re.compile(r"step-(\d+)\.pt")


@contextmanager
def hold_folder(out: Path, *, resume: bool) -> Iterator[None]:
    """Lock `out` for one run: a folder that is new or empty or, to resume, has a checkpoint.

    Raises:
        ConfigError: if the folder is not empty and `resume` is not set, or if another run has locked it.
        CheckpointError: if it has other content than a run to resume.
    """
    _check(out, resume=resume)
    with lock_folder(out / FOLDER):
        _check(out, resume=resume)  # again: another run may have started and ended meanwhile
        for part in out.rglob(".*.part"):  # left by a process that was killed while writing
            part.unlink()
        yield


def _check(out: Path, *, resume: bool) -> None:
    check_name(out.absolute())
    problem = explain_unreadable(out)
    if problem not in (MISSING, IS_FOLDER):
        raise ConfigError(f"{out} {problem or 'is a file'}: give a folder for the model")
    if resume and _checkpoints(out):
        return
    begun = {out / FOLDER, out / FOLDER / LOCK, out / FOLDER / OWNER}  # left by a run without a checkpoint
    if any(path not in begun and not path.match(".*.part") for path in out.rglob("*")):
        if resume:
            raise CheckpointError(f"{out} has no checkpoint to resume, and is not empty: give another folder with -o")
        on = ", or continue the run in it with --resume" if os.path.isdir(out / FOLDER) else ""
        raise ConfigError(f"{out} is not empty: give another folder with -o{on}")


def save_checkpoint(run: Run, out: Path) -> Path:
    """Write the state of `run` to `out/checkpoints`, and delete all but the newest `keep` checkpoints.

    The file is flushed to disk before it is renamed, and older ones are deleted only after that.
    """
    state: dict[str, Any] = {name: part.state_dict() for name, part in run.stateful_parts().items()}
    state |= {"step": run.step, "seconds": run.seconds, "config": fingerprint(run.config), "data": run.data.count}
    path = out / FOLDER / f"step-{run.step:08d}.pt"
    content = io.BytesIO()
    torch.save(state, content)  # in memory first: torch does not say why a file cannot be written
    with write_aside(path) as part, part.open("wb") as file:
        file.write(content.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    found = _checkpoints(out)
    last = found.index(path) + 1
    for other in found[: max(0, last - run.settings.keep)] + found[last:]:  # the later ones are damaged
        other.unlink()
    return path


def load_last(out: Path) -> dict[str, Any] | None:
    """Load the newest intact checkpoint in `out`; return None if there are no checkpoints yet.

    Raises:
        CheckpointError: if every checkpoint is truncated or damaged.
    """
    found = _checkpoints(out)
    for path in reversed(found):
        state = _load(path)
        if state is not None:
            return state
    if found:
        raise CheckpointError(f"{found[-1]} is cut or damaged, and there is no intact one before it: train again")
    return None


def restore_run(run: Run, state: dict[str, Any], out: Path) -> None:
    """Load the state of a checkpoint in `out` into `run`.

    Raises:
        CheckpointError: if it belongs to another configuration, or to data of another size.
    """
    before, now = (_update_fingerprint(text) for text in (state["config"], fingerprint(run.config)))
    if before != now:
        raise CheckpointError(
            f"{out} was trained with another configuration ({'; '.join(_changes(before, now))}): resume with the one "
            f"it was started with, or train into another folder"
        )
    if state.get("data") != run.data.count:
        raise CheckpointError(
            f"{out} was trained on {state.get('data')} examples and the data has {run.data.count} now: resume with the "
            f"same data, or train into another folder"
        )
    for name, part in run.stateful_parts().items():
        try:
            part.load_state_dict(state[name])
        except (
            RuntimeError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:  # the user's code has changed
            raise CheckpointError(
                f"{out} holds the state of another {name} than this ({describe_error(error)}): resume "
                f"with the code that it was started with, or train into another folder"
            ) from error
    run.step, run.seconds = state["step"], state["seconds"]


def _load(path: Path) -> dict[str, Any] | None:
    """Load a checkpoint; return None if its checksums, which torch does not verify, or its content show damage."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        # Tensors and plain values only: nothing in the file is executed.
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return state if _is_state(state, path) else None


def _is_state(state: Any, path: Path) -> bool:
    """Whether what a checkpoint holds is the state of a run at the step in its name, with weights that are finite."""
    name = _NAME.fullmatch(path.name)
    return (
        isinstance(state, dict)
        and name is not None
        and type(state.get("step")) is int
        and state["step"] == int(name[1])
        and isinstance(state.get("seconds"), (int, float))
        and isinstance(state.get("config"), str)
        and all(_is_finite(state.get(part)) for part in ("network", "critic", "average"))
    )


def _is_finite(weights: Any) -> bool:
    """Whether a state dict holds finite values; there is none of a part that a run lacks."""
    if weights is None:
        return True
    return isinstance(weights, dict) and all(
        bool(weight.isfinite().all()) for weight in weights.values() if isinstance(weight, torch.Tensor)
    )


def _checkpoints(out: Path) -> list[Path]:
    return sorted(path for path in (out / FOLDER).glob("step-*.pt") if _NAME.fullmatch(path.name))


def fingerprint(config: dict[str, Any]) -> str:
    """Return the configuration as text, without the options that may change when a run is resumed."""
    training = {k: v for k, v in (config.get("training") or {}).items() if k not in CHANGEABLE}
    if training.pop("minutes", None) is not None:
        training["minutes"] = "any"  # a run may go on for longer, but not change from minutes to steps
    rest = {k: v for k, v in config.items() if k not in ("training", "plugins")}
    process = rest.get("process")
    if isinstance(process, dict):  # version 0.1 named neither severities nor boundaries
        names_none = process.get("severities", ...) is None
        rest["process"] = {k: _drop_circular(v) for k, v in process.items() if k != "severities" or not names_none}
    return repr(sorted((key, _as_text(value)) for key, value in {**rest, "training": training}.items()))


def _drop_circular(degradation: Any) -> Any:
    if isinstance(degradation, list):
        return [_drop_circular(step) for step in degradation]
    if not isinstance(degradation, dict):
        return degradation
    return {k: _drop_circular(v) for k, v in degradation.items() if (k, v) != ("boundary", "circular")}


def _update_fingerprint(text: str) -> str:
    """Replace the names of components of version 0.1 by their current names, and leave out its default fidelity."""
    for (kind, old), new in COMPONENTS.items():
        text = text.replace(repr((kind, repr(old))), repr((kind, repr(new))))
    return _OLD_FIDELITY.sub("", text)


def _changes(before: str, now: str, path: str = "") -> list[str]:
    """Say what differs between two fingerprints: "training.lr was 0.001 and is 0.1"."""
    try:
        old, new = (dict(ast.literal_eval(text)) for text in (before, now))
    except (ValueError, SyntaxError, TypeError):  # at least one of them is a plain value
        was, is_now = ("another" if text.startswith("[(") else text for text in (before, now))
        return [f"{path.removeprefix('.')} was {was} and is {is_now}"]
    return [
        change
        for key in sorted(old.keys() | new.keys(), key=str)
        if old.get(key) != new.get(key)
        for change in _changes(old.get(key, "not given"), new.get(key, "not given"), f"{path}.{key}")
    ]


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return repr(sorted((key, _as_text(inner)) for key, inner in value.items()))
    return type(value).__name__ if isinstance(value, torch.nn.Module) else repr(value)
