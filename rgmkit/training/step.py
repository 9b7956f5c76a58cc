"""One training step: the losses of the critic and the restorer, and the updates of their weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rgmkit.core.objective import Pair, PriorObjective, no_critic
from rgmkit.core.random import seeded
from rgmkit.runtime.device import autocast_bf16, seed_global_generators
from rgmkit.training.draws import Batch
from rgmkit.training.setup import Run


def train_step(run: Run, batch: Batch) -> dict[str, Tensor]:
    """Update the critic, then the restorer, on this process's rows of a batch; return the losses.

    `min_G E[lambda F(x_hat, y_s, s) + g_{s-1}(R_{s-1}(x_hat))]`, `x_hat = G(y_s, s - 1, z)`
    (Choi, Park and Kang 2023, the objective of an RGM). Every draw is a function of (seed, step, row).
    """
    if isinstance(run.objective, PriorObjective):
        return _train_prior(run, run.objective, batch.to(run.device))

    # Split the clean images and their random numbers into parts that are computed one after the other.
    batch, count = batch.to(run.device), run.settings.accumulate
    whole = replace(batch, x=_channels_last((batch.x - run.data.center) / run.data.scale))
    parts = [each for part in whole.split(count) for each in part.split_grey()]
    names = ("prior", "fidelity") if run.critic is None else ("critic", "prior", "fidelity")
    losses = {name: torch.zeros((), device=run.device) for name in names}
    estimate = None

    # The critic, where there is one, learns to tell estimates from data.
    if run.critic is not None and run.critic_optimizer is not None:
        for part in parts:
            with torch.set_grad_enabled(count == 1):
                estimate = estimate_images(run, part)
            pair = estimate.pair.detach()
            with _precision(run):
                loss = run.objective.critic_loss(run.critic, pair, step=run.step) / count
            _backward(loss, run.critic_optimizer)
            losses["critic"] += loss.detach()
        _update(run, run.critic_optimizer)

    # The restorer learns to make estimates that the critic takes for data and that agree with the degraded images.
    critic = no_critic if run.critic is None else run.critic
    for part in parts:
        if estimate is None or len(parts) > 1:  # keeping the graphs of all parts would save no memory
            estimate = estimate_images(run, part)
        ratio = len(batch.x) / len(part.x)
        with _precision(run):
            prior_loss = run.objective.restorer_loss(critic, estimate.pair) / ratio
        fidelity = estimate.fidelity.mean() / ratio
        diversity = run.settings.diversity * estimate.diversity.mean() / ratio
        regression = run.settings.regression * estimate.regression.mean() / ratio
        _backward(prior_loss + run.fidelity_weight * fidelity + regression - diversity, run.optimizer)
        losses["prior"] += prior_loss.detach()
        losses["fidelity"] += fidelity.detach() / part.x[0].numel()
    _update(run, run.optimizer)

    _end_step(run)
    return losses


def _train_prior(run: Run, objective: PriorObjective, batch: Batch) -> dict[str, Tensor]:
    """Update the weights of an explicit prior; return its loss."""
    prior, parts = run.prior_of(run.network), batch.split(run.settings.accumulate)
    losses = {"prior": torch.zeros((), device=run.device)}
    for part in parts:
        seed = int(part.dropout[0])
        seed_global_generators(seed, run.device)
        with _precision(run):
            loss = objective.prior_loss(prior, _channels_last(part.x), generator=seeded(seed)) / len(parts)
        _backward(loss, run.optimizer)
        losses["prior"] += loss.detach()
    _update(run, run.optimizer)
    _end_step(run)
    return losses


def _end_step(run: Run) -> None:
    """Update the averaged weights and the learning rates."""
    run.average.update_parameters(run.network)
    for schedule in run.schedules:
        schedule.step()


@dataclass(frozen=True, eq=False)
class Estimate:
    """Fidelity, diversity and error of the restorer's estimates, (B,), and estimates and data at the target levels."""

    fidelity: Tensor
    diversity: Tensor
    regression: Tensor
    pair: Pair


def estimate_images(run: Run, batch: Batch) -> Estimate:
    """Degrade the images of a batch, restore them, and degrade data and estimates to the target levels."""
    process, target = run.process, batch.target
    seed_global_generators(int(batch.dropout[0]), run.device)  # for dropout; the loop restores the CPU's generator
    y = process.degrade(batch.x, batch.level, standard_normal=batch.noise)
    with _precision(run):
        x_hat = run.network(_channels_last(y), batch.level - 1, batch.z).float()
    real, fake = (
        degrade_to_target(run, x, y, batch.level, target, noise)
        for x, noise in ((batch.x, batch.real), (x_hat, batch.fake))
    )
    variance, degraded = (process.sigma(level) ** 2 for level in (target, batch.level))
    fidelity = process.fidelity(x_hat, y, batch.level)
    cost, seed, level = run.fidelity_weight * fidelity, int(batch.dropout[0]), batch.level.long() - 1
    diversity = measure_diversity(run, batch, y, x_hat) if run.settings.diversity else torch.zeros_like(fidelity)
    regression = measure_error(run, batch, x_hat) if run.settings.regression else torch.zeros_like(fidelity)
    return Estimate(fidelity, diversity, regression, Pair(real, fake, level, variance, degraded, cost, seed))


def measure_diversity(run: Run, batch: Batch, y: Tensor, x_hat: Tensor) -> Tensor:
    """Return `min(|G(y_s, z) - G(y_s, -z)| / |2 z|, limit sigma_s)` for levels s of 2 or more, else 0: (B,).

    The norms are root mean squares. The ratio is the std of estimates over z; at level 1 they should not vary.

    Source: Yang, Hong, Jang, Zhao and Lee, "Diversity-sensitive conditional generative adversarial networks", 2019;
    the pair (z, -z) in place of two draws, and the dependence on the level, are our own.
    """
    with _precision(run):
        opposite = run.network(_channels_last(y), batch.level - 1, -batch.z).float()
    # The small number keeps the gradient of the root finite where z has no effect yet.
    distance = ((x_hat - opposite).flatten(1).square().mean(1) + 1e-12).sqrt()
    ratio = distance / (2 * batch.z.square().mean(1).sqrt())
    limit = run.settings.diversity_limit * run.process.sigma(batch.level)
    return torch.where(batch.level > 1, torch.minimum(ratio, limit), 0)


def measure_error(run: Run, batch: Batch, x_hat: Tensor) -> Tensor:
    """Return `(1 - e_s^2)^2 |x_hat - x|^2 / (d e_s^2)`, (B,): a posterior mean is best, at low noise.

    The division makes the errors of all levels alike in size; the factor fades where `y_s` leaves many images possible.
    """
    process, level = run.process, batch.level
    error = process.sigma(level) if level.is_floating_point() else process.error_by_level.to(x_hat)[level]
    error = error.clamp(1e-3, 1)
    mean = (x_hat - batch.x).flatten(1).square().mean(1)
    return (1 - error.square()).square() / error.square() * mean


def degrade_to_target(run: Run, x: Tensor, y: Tensor, level: Tensor, target: Tensor, noise: Tensor) -> Tensor:
    """Degrade images to the target levels: what the critic sees of them.

    With `conditional` they are drawn given `y` of `level`, and `y` follows in further channels (Xiao, Kreis and Vahdat,
    "Tackling the generative learning trilemma with denoising diffusion GANs", 2022).
    """
    if not run.settings.conditional:
        return _channels_last(run.process.degrade(x, target, standard_normal=noise))
    lower = run.process.descend(x, y, level, 1.0, standard_normal=noise, target=target)
    return _channels_last(torch.cat([lower, y], 1))


def _backward(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    # Compute gradients for the optimizer's own parameters only: the loss also depends on the other network.
    loss.backward(inputs=optimizer.param_groups[0]["params"])


def _update(run: Run, optimizer: torch.optim.Optimizer) -> None:
    run.processes.average_([p.grad for p in optimizer.param_groups[0]["params"] if p.grad is not None])
    optimizer.step()
    optimizer.zero_grad()


def _precision(run: Run) -> torch.autocast:
    return autocast_bf16(run.device, run.settings.precision == "bf16")


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
