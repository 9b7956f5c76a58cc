"""Evaluate networks in bfloat16 or compiled, with float32 inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from rgmkit.errors import ConfigError, IncompatibleError
from rgmkit.runtime.device import autocast_bf16

Precision = Literal["float32", "bf16"]
PRECISIONS: dict[Any, Precision] = {
    "float32": "float32", torch.float32: "float32", "bf16": "bf16", torch.bfloat16: "bf16",
}  # fmt: skip
MULTIPLYING = (nn.Conv1d, nn.Conv2d, nn.Linear)  # layers that autocast computes in bfloat16


def as_precision(dtype: str | torch.dtype) -> Precision:
    """Return the precision with this name or PyTorch dtype.

    Raises:
        ConfigError: if there is no such precision.

    >>> as_precision(torch.bfloat16)
    'bf16'
    """
    if not isinstance(dtype, (str, torch.dtype)) or dtype not in PRECISIONS:
        raise ConfigError(f"dtype is {str(dtype)!r}: give 'float32' or 'bf16'")
    return PRECISIONS[dtype]


def prepare_network(network: nn.Module, *, precision: Precision, compile: bool) -> nn.Module:
    """Convert the layers of `network` in place and wrap it; return it unchanged if there is nothing to do.

    Raises:
        ConfigError: if `compile` is neither True nor False: "no" would count as true.
    """
    if not isinstance(compile, bool):
        raise ConfigError(f"compile is {compile!r}: give True or False")
    if precision == "bf16":
        for layer in network.modules():
            if isinstance(layer, MULTIPLYING):
                layer.to(torch.bfloat16)
            if isinstance(layer, nn.Conv2d):
                layer.to(memory_format=torch.channels_last)
    return Evaluated(network, precision, compile) if compile or precision != "float32" else network


@final
class Evaluated(nn.Module):
    """A network `G(y, t, z)` or `D(x, t)` under autocast, compiled, or both; its output has the dtype of its input.

    Convolutions and dense layers hold bfloat16 weights and multiply in bfloat16, accumulating in float32; other
    operations, such as adding a correction to the input, are computed in float32. `inner` is the network itself.

    Args:
        network: the restorer.
        precision: "bf16", or "float32" for the network as it is.
        compile: compile the network with `torch.compile` when it is first called; on a CPU this needs a C++ compiler,
            and takes minutes for each new image size.
    """

    def __init__(self, network: nn.Module, precision: Precision, compile: bool) -> None:
        super().__init__()
        self.inner, self.precision = network, precision
        self.latent, self.locality = getattr(network, "latent", 0), getattr(network, "locality", None)
        self.continuous, self.channels = getattr(network, "continuous", False), getattr(network, "channels", ())
        self.compiles = compile
        if compile:
            network.compile()

    def forward(self, y: Tensor, *given: Tensor) -> Tensor:
        """Evaluate the network on images `y`; `given` are the target level and, for a restorer, z."""
        errors = explain_compile_errors() if self.compiles else nullcontext()
        with errors, autocast_bf16(y.device, self.precision == "bf16"):
            return self.inner(y, *given).to(y.dtype)


@contextmanager
def explain_compile_errors() -> Iterator[None]:
    """Raise an IncompatibleError if a network cannot be compiled at its first call."""
    from torch._dynamo.exc import TorchDynamoException  # slow to import

    try:
        yield
    except TorchDynamoException as error:
        cause = getattr(error, "inner_exception", None) or error
        reason = f"{type(cause).__name__}: {str(cause).strip().splitlines()[0]}"
        raise IncompatibleError(f"the network cannot be compiled ({reason}): leave out compile") from error
