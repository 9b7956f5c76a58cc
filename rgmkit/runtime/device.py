"""Where to compute."""

from __future__ import annotations

import torch

from rgmkit.errors import ConfigError


def as_device(device: str | torch.device) -> torch.device:
    """The device of that name.

    Raises:
        ConfigError: if there is no such device here.

    >>> as_device("cpu")
    device(type='cpu')
    """
    try:
        made = torch.device(device)
        torch.empty(0, device=made)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ConfigError(f"device is {str(device)!r}, which is not available here: try 'cpu'") from error
    return made
