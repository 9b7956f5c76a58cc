"""Devices: the only file that names PyTorch's accelerators.

The modules of PyTorch's accelerators (`torch.cuda`, `torch.xpu`, `torch.mps`) share most of their functions. If one
lacks a function, it is treated as a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil
import torch

from rgmkit.errors import ConfigError

BACKGROUND_COPIES = ("cuda", "xpu")  # accelerators that copy from pinned memory while they compute
PRETENDED = "cuda"  # the accelerator that PyTorch's fake tensors are on, where there is none


def as_device(device: str | torch.device) -> torch.device:
    """Return the device with this name.

    Raises:
        ConfigError: if this machine has no such device.

    >>> as_device("cpu")
    device(type='cpu')
    """
    try:
        made = torch.device(device)
        torch.empty(0, device=made)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ConfigError(f"device is {str(device)!r}, which is not available here: try 'cpu'") from error
    return made


def choose_device(name: str | None) -> torch.device:
    """Return the device with this name; by default the accelerator of this machine, or its CPU.

    Raises:
        ConfigError: if this machine has no such device.
    """
    if name is not None:
        return as_device(name)
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def is_accelerator(device: torch.device | None) -> bool:
    """Whether a device is not the CPU, so that it has its own memory and favours large batches.

    >>> is_accelerator(torch.device("cpu"))
    False
    """
    return device is not None and device.type != "cpu"


def synchronize(device: torch.device) -> None:
    """Wait until everything queued on the device is computed."""
    given = () if device.type == "mps" else (device,)
    _function(device, "synchronize", otherwise=lambda *_: None)(*given)


def empty_cache(device: torch.device) -> None:
    """Release cached, unused memory of the device."""
    _function(device, "empty_cache", otherwise=lambda: None)()


def free_memory(device: torch.device) -> int:
    """Return the number of free bytes on the device."""
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    read = _function(device, "mem_get_info", otherwise=lambda *_: (psutil.virtual_memory().available,))
    return int(read(device)[0])


def measures_peak(device: torch.device) -> bool:
    """Whether PyTorch records the peak of the device's allocated memory."""
    return _function(device, "max_memory_allocated") is not None


def reset_peak(device: torch.device) -> None:
    """Begin a new measurement of the peak memory."""
    _function(device, "reset_peak_memory_stats")(device)


def peak_allocated(device: torch.device) -> int:
    """Return the peak of the allocated memory since `reset_peak`, in bytes."""
    return int(_function(device, "max_memory_allocated")(device))


def supports_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 natively; true for any CPU, even if it emulates it."""
    return bool(_function(device, "is_bf16_supported", otherwise=lambda _: True)(False))


def prefers_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16, so that it computes faster in it than in float32."""
    if device.type != "cpu":
        return supports_bf16(device)
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def autocast_bf16(device: torch.device, enabled: bool) -> torch.autocast:
    """Compute in bfloat16 in the block, where that is safe and `enabled`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def copies_in_background(device: torch.device) -> bool:
    """Whether pinned memory is copied to the device while it computes."""
    return device.type in BACKGROUND_COPIES


def seed_global_generators(seed: int, device: torch.device) -> None:
    """Seed PyTorch's global generators of the CPU and of the device, which dropout draws from."""
    torch.default_generator.manual_seed(seed)
    _function(device, "manual_seed", otherwise=lambda _: None)(seed)


def _function(device: torch.device, name: str, *, otherwise: Callable[..., Any] | None = None) -> Any:
    """Return a function of PyTorch's module for the device, such as `torch.cuda.synchronize`."""
    module = None if device.type == "cpu" else getattr(torch, device.type, None)
    return getattr(module, name, otherwise)
