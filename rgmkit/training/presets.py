"""Presets: a configuration for the pictures of a user, from the name of a size."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from rgmkit.config import build
from rgmkit.errors import ConfigError, DataError, suggest
from rgmkit.runtime.device import as_device, is_accelerator, prefers_bf16
from rgmkit.training.data.base import Data
from rgmkit.training.data.pictures import PictureFiles

Preset: TypeAlias = Literal["small", "medium", "large"]
Goal: TypeAlias = Literal["generate", "restore"]

MINUTES = {"small": 10, "medium": 120, "large": 1440}
SIZES = {"generate": {"small": 32, "medium": 64, "large": 128}, "restore": {"small": 64, "medium": 96, "large": 128}}
MOST_HELD_OUT = 64
PROBED = 8  # pictures, about, from which the channels are determined
LARGE = 4  # pictures more than so many times as large as a crop get a note

logger = logging.getLogger(__name__)


def make_preset(
    preset: Preset, data: str | Path, *, goal: Goal = "generate", device: str | torch.device = "cpu"
) -> dict[str, Any]:
    """Return a training configuration for the pictures in `data`, which depends only on them and the kind of machine.

    Both goals start from a model that comes with rgmkit, which sets the network and the noise schedule: minutes are
    too short to train from random weights.

    Args:
        preset: "small" for minutes on a CPU, "medium" for hours, "large" for a day on an accelerator.
        data: a folder of pictures, a tar archive, an .npz file, or the spec of a data source.
        goal: "generate" trains a generative model with a critic, which restores, too; "restore" trains a denoiser with
            the mean squared error, which restores more accurately and generates nothing.
        device: where the training will run.

    Raises:
        ConfigError, PluginError, DataError: if there are no such images, or they cannot be read.

    >>> make_preset("small", "digits", goal="restore")["start"]
    'photographs'
    """
    for name, given, known in (("preset", preset, MINUTES), ("goal", goal, SIZES)):
        if given not in known:
            raise ConfigError(f"{name} is {given!r}: {suggest(str(given), known)}")
    device = as_device(device)
    spec, count, channels = _choose_data(data, SIZES[goal][preset], flip="all" if goal == "restore" else True)
    precision = "bf16" if prefers_bf16(device) else "float32"
    shared = {"minutes": MINUTES[preset], "between_levels": True, "precision": precision}
    if goal == "generate":
        return {"seed": 0, "start": "photographs-rgm", "data": spec, **_generate(preset, device, shared)}
    shared |= {"grey": 0.3 if channels == 3 else 0.0, "held_out": min(MOST_HELD_OUT, (count or 0) // 10)}
    return {"seed": 0, "start": "photographs", "data": spec, **_restore(preset, device, shared)}


def _generate(preset: Preset, device: torch.device, shared: dict[str, Any]) -> dict[str, Any]:
    width, multipliers = {"small": (48, [1, 2, 2]), "medium": (64, [1, 2, 4]), "large": (64, [1, 2, 4, 4])}[preset]
    training = {
        **shared,
        "batch": 64 if is_accelerator(device) else 16,
        "lr": 5e-5,
        "critic_lr": 1e-3 if preset == "small" else 5e-4,
        "critic_first": 0.15 if preset == "small" else 0.02,
        "fidelity": 1e-5,  # a larger weight fits the noise until the critic has learned
        "ema": 0.99 if preset == "small" else 0.999,
        "spread": 0.7,
    }
    return {
        "critic": {"use": "unet-discriminator", "width": width, "multipliers": multipliers},
        "objective": {"use": "relativistic", "gamma": 0.5, "interval": 4, "floor": 0.2},
        "training": training,
    }


def _restore(preset: Preset, device: torch.device, shared: dict[str, Any]) -> dict[str, Any]:
    training = {
        **shared,
        "batch": 64 if is_accelerator(device) else 16,
        "optimizer": "muon",
        "lr": 2e-4,
        "betas": [0.9, 0.99],
        "warmup": 20 if preset == "small" else 200,
        "ema": 0.99 if preset == "small" else 0.999,
        "level_weights": [1, 1, 2.5, 5, 5, 4.5, 1, 1, 0, 0],  # half of the images with noise of .03 to .3
    }
    return {"objective": {"use": "mmse", "scale": "log"}, "training": training}


def _choose_data(given: str | Path, size: int, *, flip: bool | str) -> tuple[Any, int | None, int]:
    """Return the spec of a data source, and the number and channels of its images.

    Crops are at most as large as the smallest picture. Pictures are grey if all that are looked at are.
    """
    path = Path(given).absolute()
    if os.path.isdir(path) or (os.path.isfile(path) and path.suffix not in (".npz", ".npy")):
        kind = "folder" if os.path.isdir(path) else "archive"
        pictures: PictureFiles = build("data", {"use": kind, "path": str(path), "size": 1})
        if pictures.smallest > LARGE * size:
            logger.warning(
                f"crops of {size} pixels show little of pictures of {pictures.smallest} pixels and more: where whole "
                f"objects matter, train on smaller copies"
            )
        channels = _count_channels(pictures)
        spec = {"use": kind, "path": str(path), "size": min(size, pictures.smallest)}
        spec |= {"channels": "grey" if channels == 1 else "rgb", "crop": "random", "flip": flip}
        return spec, len(pictures), channels
    if not os.path.exists(path) and ":" not in str(given) and ("/" in str(given) or path.suffix):
        raise DataError(
            f"{given} does not exist: give a folder of pictures, an archive, or a data source, such as digits"
        )
    named: Any = {"use": "npz", "path": str(path), "flip": bool(flip)} if os.path.isfile(path) else str(given)
    data: Data = build("data", named)
    if len(data.shape) != 3:
        raise ConfigError(f"the data {given} are points: presets are for images")
    return named, data.count, data.shape[0]


def _count_channels(pictures: PictureFiles) -> int:
    """Return 1 if all of a few pictures are grey, else 3."""
    for i in range(0, len(pictures), max(1, len(pictures) // PROBED)):
        with suppress(DataError):  # a broken picture, which training skips
            if pictures.read_crop(i).shape[0] > 1:
                return 3
    return 1
