"""Check that a module computes on the device of its arguments: on an accelerator, or, without one, a pretended one."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from rgmkit.errors import RgmkitError
from rgmkit.runtime.device import PRETENDED

OTHER_DEVICE = ("same device", "is on cpu", "on device cpu")  # in the messages of PyTorch
UNDECIDED = (NotImplementedError, DataDependentOutputException, DynamicOutputShapeException)


def follows_device(module: nn.Module, call: Callable[..., Tensor], what: str, *arguments: Tensor) -> bool:
    """Assert that `call(copy of module on a device, *arguments there)` gives a result there.

    Without an accelerator, PyTorch computes shapes and devices only. Return False if that is not enough: if values
    matter, or the gradient of a custom function.
    """
    call(module, *arguments)  # whatever it caches is real
    device = torch.accelerator.current_accelerator(check_available=True)
    pretend = device is None
    device = torch.device(PRETENDED) if device is None else device
    moved = copy.deepcopy(module)
    with FakeTensorMode(allow_non_fake_inputs=True) if pretend else contextlib.nullcontext():
        try:
            _move(moved, device) if pretend else moved.to(device)
            result = call(moved, *(torch.empty_like(argument, device=device) for argument in arguments))
        except UNDECIDED:
            return False
        except (RuntimeError, RgmkitError) as error:
            if pretend and not any(words in str(error) for words in OTHER_DEVICE):
                return False
            raise AssertionError(f"{what} on {device.type}: {error}") from error
    assert result.device.type == device.type, f"{what} of a tensor on {device.type} gives one on {result.device}"
    return True


def _move(module: nn.Module, device: torch.device) -> None:
    """Replace all parameters and buffers by fake tensors on a device."""
    for part in module.modules():
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = torch.empty_like(buffer, device=device)
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(torch.empty_like(parameter, device=device), False)
