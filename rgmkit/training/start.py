"""Start training from the weights of a trained model: `start: MODEL`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rgmkit import models
from rgmkit.config import build
from rgmkit.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rgmkit.core.process import ForwardProcess

T = TypeVar("T")


def read_start_config(start: Any, folder: Path) -> dict[str, Any]:
    """Return the configuration of the model.

    Raises:
        ConfigError: if there is no such model.
    """
    return _read(models.read_config, start, folder)


def find_start_folder(start: Any, folder: Path) -> Path | None:
    """Return the folder of the model; None without one."""
    model = None if start is None else models.find_model(start, folder)
    return None if model is None else models.locate(model.where)


def load_start_weights(network: nn.Module, process: ForwardProcess, start: Any, folder: Path) -> None:
    """Load the weights of the model into `network`, which restores from the levels of `process`.

    The network may have blocks beyond those of the model if it can add them. If the noise levels differ from those of
    the model, embeddings of levels are interpolated.

    Raises:
        ConfigError: if there is no such model, or its weights do not fit the network.
    """
    weights = _read(models.read_weights, start, folder)
    add_blocks = getattr(network, "add_blocks", None)
    if add_blocks is not None:
        weights = add_blocks(weights)
    spec = read_start_config(start, folder).get("process")
    if spec is not None:
        former = build("process", spec, folder=find_start_folder(start, folder))
        weights = {**weights, **_move_levels(network, weights, former, process)}
    differing = models.find_mismatches(weights, network.state_dict())
    if differing:
        raise ConfigError(
            f"start is {start!r}, whose weights are those of another network: {len(differing)} differ, the first is "
            f"{differing[0]}; leave out network and process to take the model's own, and give images of as many "
            "channels"
        )
    network.load_state_dict(weights)


def _move_levels(
    network: nn.Module, weights: dict[str, Tensor], former: ForwardProcess, process: ForwardProcess
) -> dict[str, Tensor]:
    """Return the embeddings of the levels of `process`, interpolated in `log(sigma/a)` between those of `former`.

    Only noise that grows from level to level tells which levels are alike: otherwise nothing is returned.
    """
    import torch

    log_ratios, wanted = (
        (p.sigma_by_level[1:].double() / p.a_by_level[1:].double()).log().cpu() for p in (former, process)
    )
    grow = all(bool((values.diff() > 0).all()) for values in (log_ratios, wanted))
    if type(former) is not type(process) or not grow:
        return {}
    high = torch.searchsorted(log_ratios, wanted).clamp(max=len(log_ratios) - 1)
    low = (high - 1).clamp(min=0)
    share = ((wanted - log_ratios[low]) / (log_ratios[high] - log_ratios[low]).clamp(min=1e-12)).clamp(0, 1)
    embeddings = (f"{name}.weight" for name, part in network.named_modules() if _embeds_levels(part, process))
    found = {name: weights[name] for name in embeddings if len(weights.get(name, ())) == former.levels}
    return {name: rows[low].lerp(rows[high], share[:, None].to(rows)) for name, rows in found.items()}


def _embeds_levels(part: nn.Module, process: ForwardProcess) -> bool:
    from torch import nn

    return isinstance(part, nn.Embedding) and part.num_embeddings == process.levels


def _read(reader: Callable[[str | Path], dict[str, T]], start: Any, folder: Path) -> dict[str, T]:
    model = models.find_model(start, folder)
    if model is None or model.options:
        shipped = ", ".join(models.list_shipped())
        raise ConfigError(f"start is {start!r}: give a model folder, or a shipped model ({shipped})")
    try:
        return reader(model.where)
    except CheckpointError as error:
        raise ConfigError(f"start is {start!r}: {error}") from error
