"""Muon: momentum with orthogonalised updates for hidden weight matrices, Adam for all other weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, final

import torch
from torch import Tensor, nn

LEAST_SIDE = 32  # fewest inputs and outputs of a layer that Muon updates; images have fewer channels
MOMENTUM = 0.95
UPDATE_SIZE = 0.2  # root mean square of an update over the learning rate, about that of Adam
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of the quintic iteration
ITERATIONS = 5


@final
class Muon(torch.optim.Optimizer):
    """Update each hidden weight along its momentum, with the singular values of the update set to about 1.

    Muon updates the convolutions and dense layers with at least 32 inputs and outputs, each as a matrix with one row
    per index of its first axis. Adam updates the biases, and the first and last layers of the network. The root mean
    square of an update is 0.2 times the learning rate, about that of Adam, so that one learning rate suits both.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the size of the update is
    that of Liu et al., "Muon is scalable for LLM training", 2025.

    Args:
        parameters: the weights.
        lr: learning rate of both optimisers.
        betas: of Adam.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, *, betas: tuple[float, float]) -> None:
        given = list(parameters)
        super().__init__(given, {"lr": lr})
        self._matrices = [weight for weight in given if _is_hidden(weight)]
        rest = [weight for weight in given if not _is_hidden(weight)]
        self._adam = torch.optim.Adam(rest, lr=lr, betas=betas, fused=True) if rest else None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update all weights that have a gradient."""
        assert closure is None
        lr = self.param_groups[0]["lr"]
        for weight in self._matrices:
            if weight.grad is None:
                continue
            state = self.state[weight]
            momentum = state.setdefault("momentum", torch.zeros_like(weight))
            momentum.lerp_(weight.grad, 1 - MOMENTUM)
            update = orthogonalize(weight.grad.lerp(momentum, MOMENTUM).flatten(1))
            size = UPDATE_SIZE * max(update.shape) ** 0.5
            weight.add_(update.reshape(weight.shape), alpha=-lr * size)
        if self._adam is not None:
            self._adam.param_groups[0]["lr"] = lr
            self._adam.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both optimisers."""
        return {**super().state_dict(), "adam": None if self._adam is None else self._adam.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "adam"})
        if self._adam is not None:
            self._adam.load_state_dict(state_dict["adam"])


def orthogonalize(matrix: Tensor) -> Tensor:
    """Approximate `U V^T` of the singular value decomposition `U S V^T`, with singular values from 0.7 to 1.2.

    >>> values = torch.linalg.svdvals(orthogonalize(torch.randn(32, 40, generator=torch.Generator().manual_seed(0))))
    >>> bool((values > 0.6).all() and (values < 1.3).all())
    True
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.T).to(torch.bfloat16)
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.T).to(matrix.dtype)


def _is_hidden(weight: Tensor) -> bool:
    return weight.ndim >= 2 and min(weight.shape[:2]) >= LEAST_SIDE
