"""Read the array that an option gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rgmkit.errors import DataError
from rgmkit.runtime.files import explain_unreadable


def read_array(given: Path | Tensor | np.ndarray, what: str) -> Tensor:
    """Return an array, from an .npy file or a grey picture if a path is given, in float64.

    Raises:
        DataError: if the file cannot be read, or it holds no numbers.
    """
    if isinstance(given, Tensor):
        return given.detach().double()
    if isinstance(given, np.ndarray):
        return torch.from_numpy(given.astype(np.float64))
    path = Path(given)
    if path.suffix.lower() != ".npy":
        from rgmkit.images import read

        return read(path).x[0].double().mean(0)
    problem = explain_unreadable(path)
    if problem:
        raise DataError(f"{what}: {path} {problem}")
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False, mmap_mode="r").astype(np.float64))
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{what}: cannot read {path}: {error}") from error
