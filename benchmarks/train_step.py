"""Compare the speed of published and rgmkit's training steps: python benchmarks/train_step.py --json FILE.

Both use the same networks, weights, batch and objective (kl, fidelity). The published recipe is written out below:
float32, contiguous memory, two passes of the restorer per step (the graph of the first is kept, although nothing is
learned from it), real and generated images judged one after the other, Adam and the moving average parameter by
parameter. rgmkit's side is `rgmkit train` with `precision: bf16`. The lazy penalty of every 15th step is not measured.
"""

from __future__ import annotations

import argparse
import copy
from typing import Any

import torch
from timing import alternately, flops, parser, report
from torch import Tensor
from torch.nn.functional import softplus

from rgmkit.core.random import randn, seeded
from rgmkit.runtime.processes import ProcessGroup
from rgmkit.training.configuration import read_configuration
from rgmkit.training.data.base import Data
from rgmkit.training.draws import draw_batch
from rgmkit.training.loop import compile_restorer, train_step
from rgmkit.training.setup import Run, set_up

FIDELITY, EMA = 1e-3, 0.9999


class Noise(Data):
    """Images of noise; the speed does not depend on the content."""

    def __init__(self, size: int) -> None:
        self.shape = (3, size, size)

    def batch(self, size: int, *, seed: int, step: int) -> Tensor:
        """Return `size` images in [0, 1]."""
        return torch.rand(size, *self.shape, generator=seeded(seed, step))


class Published:
    """The published training step, on copies of the networks of a run."""

    def __init__(self, run: Run) -> None:
        self.network, self.critic = (copy.deepcopy(part) for part in (run.network, run.critic))
        for part in (self.network, self.critic):
            part.to(memory_format=torch.contiguous_format)
        self.process, self.data = run.process, run.data
        self.average = [p.detach().clone() for p in self.network.parameters()]
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1.6e-4, betas=(0.5, 0.9))
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=1e-4, betas=(0.5, 0.9))
        self.generator = seeded(run.seed)

    def step(self, x: Tensor) -> None:
        """Take one step of the critic and one of the restorer."""
        x = (x - self.data.center) / self.data.scale

        # The critic: real, then fake.
        self.critic.requires_grad_(True)
        self.critic_optimizer.zero_grad()
        t, y = self._degraded(x)
        softplus(-self.critic(self._draw(x, t), t)).mean().backward()
        x_hat = self._restored(y, t)  # with its graph, which only the critic's part is gone back through
        loss = softplus(self.critic(self._draw(x_hat, t), t)).mean()
        loss.backward(inputs=list(self.critic.parameters()))
        self.critic_optimizer.step()

        # The restorer, on draws of its own.
        self.critic.requires_grad_(False)
        self.optimizer.zero_grad()
        t, y = self._degraded(x)
        x_hat = self._restored(y, t)
        loss = -self.critic(self._draw(x_hat, t), t).mean()
        loss = loss + FIDELITY * self.process.fidelity(x_hat, y, t + 1).mean()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for averaged, p in zip(self.average, self.network.parameters(), strict=True):
                averaged.mul_(EMA).add_(p, alpha=1 - EMA)

    def _degraded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        t = torch.randint(self.process.levels, (len(x),), generator=self.generator).to(x.device)
        return t, self._draw(x, t + 1)

    def _draw(self, x: Tensor, level: Tensor) -> Tensor:
        return self.process.degrade(x, level, generator=self.generator)

    def _restored(self, y: Tensor, t: Tensor) -> Tensor:
        z = randn((len(y), self.network.latent), generator=self.generator, device=y.device)
        restored: Tensor = self.network(y, t, z)
        return restored


def configuration(given: argparse.Namespace) -> dict[str, Any]:
    """Return the training step of rgmkit."""
    training = {
        "batch": given.batch, "precision": given.precision, "fidelity": FIDELITY, "ema": EMA, "betas": [0.5, 0.9],
        "lr": 1.6e-4, "critic_lr": 1e-4, "steps": 10**6, "compile": given.compile,
    }  # fmt: skip
    parts = {"data": Noise(given.size), "network": given.network, "objective": "kl", "seed": given.seed}
    if given.critic:
        parts["critic"] = given.critic
    return {**parts, "training": training}


def main() -> None:
    """Measure both, print the result and write it as JSON."""
    options = parser(__doc__, batch=16, times=5)
    options.add_argument("--critic", help="default: the discriminator of the network")
    options.add_argument("--precision", choices=("bf16", "float32"), default="bf16", help="of rgmkit's side")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    run = set_up(read_configuration(configuration(given)), ProcessGroup(torch.device(given.device)))
    published = Published(run)
    run.step = 1  # the lazy penalty is on steps 0, 15, …

    def theirs() -> None:
        published.step(run.data.batch(given.batch, seed=given.seed, step=1).to(given.device))

    def ours() -> None:
        train_step(run, draw_batch(run, 1))

    count = flops(ours)
    with torch.random.fork_rng(devices=[]), compile_restorer(run):
        seconds = alternately(theirs, ours, given.times)
    report(f"train step, {given.network}, {given.size}x{given.size}", given, seconds, images=given.batch, flops=count)


if __name__ == "__main__":
    main()
