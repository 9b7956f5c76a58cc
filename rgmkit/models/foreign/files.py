"""Read published weights: PyTorch, safetensors, NumPy and MATLAB files. Nothing in a file is executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rgmkit.errors import CheckpointError
from rgmkit.models.published.checkpoint import read_checkpoint
from rgmkit.runtime.extras import require

PREFERRED = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net")
MATLAB_HDF5 = b"MATLAB 7.3"
NO_ARRAYS = "does not hold arrays w0, b0, w1, … of convolutions, or is damaged"


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the weights of one network, in float32; layers of NumPy and MATLAB files become `model.0.weight` ….

    Of several networks in a file, moving averages (`params_ema`) come first.

    Raises:
        CheckpointError: if the file cannot be read, or its format is unknown.
    """
    ending = path.suffix.lower()
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist")
    if ending == ".mpk":
        raise CheckpointError(f"{path} holds weights of flax, which rgmkit does not read: give those of PyTorch")
    if ending in (".npz", ".mat"):
        state = _name_layers(_read_npz(path) if ending == ".npz" else _read_mat(path))
    else:
        found = read_checkpoint(path)
        state = found[next((name for name in PREFERRED if name in found), next(iter(found)))].weights
    unreal = next((name for name, weight in state.items() if weight.is_complex()), None)
    if unreal:
        raise CheckpointError(f"{path} has complex weights, such as {unreal}: give a network of real numbers")
    broken = [name for name, weight in state.items() if not weight.isfinite().all()]
    if broken:
        raise CheckpointError(f"{path} has NaN or infinite values in {len(broken)} weights, such as {broken[0]}")
    return {name: weight.float() if weight.is_floating_point() else weight for name, weight in state.items()}


def strip_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Remove the first part of all names, such as `model.` or `netG.`; None if they do not share it.

    >>> list(strip_prefix({"net.a.weight": torch.ones(1), "net.a.bias": torch.ones(1)}))
    ['a.weight', 'a.bias']
    """
    prefixes = {name.partition(".")[0] for name in state}
    if len(prefixes) != 1 or not all("." in name for name in state):
        return None
    return {name.partition(".")[2]: weight for name, weight in state.items()}


def _name_layers(layers: list[tuple[Any, Any]]) -> dict[str, Tensor]:
    """Name the weights and biases of convolutions with activations between them, as in a `Sequential`."""
    state = {}
    for i, (weight, bias) in enumerate(layers):
        state[f"model.{2 * i}.weight"] = torch.from_numpy(np.ascontiguousarray(weight, dtype=np.float32))
        state[f"model.{2 * i}.bias"] = torch.from_numpy(np.ascontiguousarray(bias, dtype=np.float32).ravel())
    return state


def _read_npz(path: Path) -> list[tuple[Any, Any]]:
    """Read the arrays w0, b0, w1, … in the order of PyTorch."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            count = sum(name.startswith("w") for name in arrays)
            layers = [(arrays[f"w{i}"], arrays[f"b{i}"]) for i in range(count)]
    except Exception as error:  # a damaged file may raise anything
        raise CheckpointError(f"{path} {NO_ARRAYS}") from error
    if not layers:
        raise CheckpointError(f"{path} {NO_ARRAYS}")
    return layers


def _read_mat(path: Path) -> list[tuple[Any, Any]]:
    """Read the convolutions in `net.layers` of MatConvNet."""
    try:
        with path.open("rb") as file:
            hdf5 = file.read(len(MATLAB_HDF5)) == MATLAB_HDF5
        layers = _read_hdf5(path) if hdf5 else _read_old_mat(path)
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path} is not a network of MatConvNet, or damaged ({error})") from error
    if not layers:
        raise CheckpointError(f"{path} is not a network of MatConvNet: net.layers has no convolutions")
    return layers


def _read_hdf5(path: Path) -> list[tuple[Any, Any]]:
    require("h5py", str(path), CheckpointError)
    import h5py

    with h5py.File(path, "r") as file:
        layers = [file[reference] for reference in file["net"]["layers"][:].flatten()]
        cells = [layer["weights"][:].flatten() for layer in layers if "weights" in layer]
        pairs = [[file[reference][:] for reference in cell] for cell in cells if cell.dtype == object]
    return [(weight.transpose(0, 1, 3, 2), bias) for weight, bias in pairs]


def _read_old_mat(path: Path) -> list[tuple[Any, Any]]:
    from scipy.io import loadmat

    net = loadmat(path, simplify_cells=True)["net"]
    pairs = [layer["weights"] for layer in net["layers"] if len(layer.get("weights", ())) == 2]
    return [(_as_four_axes(weight).transpose(3, 2, 0, 1), bias) for weight, bias in pairs]


def _as_four_axes(weight: np.ndarray) -> np.ndarray:
    """Restore the last axes of length 1, which MATLAB drops."""
    return weight.reshape(*weight.shape, *[1] * (4 - weight.ndim))
