"""Train a restorer: `train` reads the configuration, and `loop` has the training loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rgmkit.training.configuration import read_configuration

if TYPE_CHECKING:
    import torch

__all__ = ["preset", "train"]


def preset(
    name: Literal["small", "medium", "large"],
    data: str | Path,
    *,
    goal: Literal["generate", "restore"] = "generate",
    device: str | torch.device | None = "cpu",
) -> dict[str, Any]:
    """Return a configuration for `train` that suits the pictures in `data`; see `presets.make_preset`."""
    from rgmkit.runtime.device import choose_device
    from rgmkit.training.presets import make_preset

    return make_preset(name, data, goal=goal, device=choose_device(None) if device is None else device)


def train(
    config: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    resume: bool = False,
    overrides: Iterable[str] = (),
    progress: bool = True,
    device: str | torch.device | None = "cpu",
) -> Path:
    """Train the network that `config` describes; return the model folder.

    Several processes, started by `accelerate launch` or `torchrun`, share the work of each step.

    Args:
        config: a YAML file, or the mapping in it; in a mapping, components may be objects (any `nn.Module` as
            `network` with another as `critic`).
        out: the model folder, new or empty. Default: `runs/<name of the file>`.
        resume: continue from the last checkpoint in `out`, if there is one; the final weights are the same, bit by
            bit, as without the interruption.
        overrides: `path=value` changes of the configuration, such as `training.steps=100`.
        progress: show a description of the run and a progress bar on stderr.
        device: where to train; None for the accelerator of this machine, if it has one.

    Raises:
        ConfigError: for an invalid configuration, or a folder that is not empty or in use.
        PluginError: for a component that no plugin provides.
        CheckpointError: for a checkpoint that cannot be resumed.
        TrainingError: for a run that diverges, or whose files cannot be written; earlier checkpoints stay intact.

    >>> import tempfile, rgmkit
    >>> config = {"data": "gmm", "network": "mlp", "training": {"steps": 2, "preview_every": 0}}
    >>> folder = rgmkit.train(config, out=tempfile.mkdtemp(), progress=False)
    >>> rgmkit.generate(rgmkit.load(folder), 3).shape
    torch.Size([3, 2])
    """
    configuration = read_configuration(config, overrides)  # before PyTorch is imported, which takes seconds
    from rgmkit.runtime.device import choose_device
    from rgmkit.training.loop import run_training

    out = Path("runs") / configuration.name if out is None else Path(out)
    device = choose_device(None) if device is None else device
    return run_training(configuration, out, resume=resume, progress=progress, device=device)
