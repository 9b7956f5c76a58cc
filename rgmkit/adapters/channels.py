"""Apply grey models to colour images, and colour models to grey images."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from rgmkit.core.prior import NoPrior, RestoringPrior
from rgmkit.core.process import ForwardProcess
from rgmkit.core.random import randn, seeded
from rgmkit.core.solver import Problem

COLOUR_MODEL = "photographs"  # the shipped model that is recommended for colour images
LOST = 1e-6  # relative squared singular value below which a combination of channels is not measured


def note_lost_colours(problem: Problem) -> tuple[str, ...]:
    """Return a note if the operator loses colours and the prior does not model them."""
    prior, degradation = problem.prior, problem.degradation
    if prior.models_colour or degradation is None or not loses_colours(problem):
        return ()
    who = "there is no prior" if isinstance(prior, NoPrior) else "the prior does not model them"
    return (
        f"{degradation.title} loses colours, and {who}: expect a wrong tint; for photographs give "
        f"--prior {COLOUR_MODEL}, which stays nearly grey",
    )


def loses_colours(problem: Problem) -> bool:
    """Tell whether a linear operator maps colour images that differ in a combination of their channels to the same.

    White noise is put into one channel after the other: their measurements are then linearly dependent.
    """
    y, degradation, shape = problem.y, problem.degradation, problem.shape
    if y is None or degradation is None or not degradation.linear or shape[1:2] != (3,) or len(shape) != 4:
        return False
    e = randn((1, 1, *shape[2:]), generator=seeded(0), device=y.device, dtype=y.real.dtype)
    channels = torch.eye(3, dtype=e.dtype, device=e.device)[:, None, :, None, None]
    with torch.no_grad():
        responses = torch.cat([degradation.A(e * channel).flatten(1) for channel in channels])
    gram = (responses @ responses.mH).to("cpu", torch.complex128)
    if not bool(gram.isfinite().all()):  # the solver says what is wrong
        return False
    least, *_, largest = torch.linalg.eigvalsh(gram).tolist()
    return bool(least <= LOST * largest)


@final
class ChannelByChannel(RestoringPrior):
    """Apply a grey model to each channel of an image, with the same z.

    The channels are restored independently, so that a grey edge may become coloured.

    Args:
        prior: for images with one channel.
        channels: number of channels of the images.
    """

    def __init__(self, prior: RestoringPrior, *, channels: int) -> None:
        shape = prior.image_shape
        super().__init__(
            prior.process, image_shape=None if shape is None else (channels, *shape[1:]), center=prior.center,
            scale=prior.scale,
        )  # fmt: skip
        self.prior, self.latent, self.locality = prior, prior.latent, prior.locality
        self.continuous, self.generative, self.models_colour = prior.continuous, prior.generative, False

    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        channels = y.shape[1]
        grey = y.flatten(0, 1)[:, None]
        x = self.prior._restore(grey, level.repeat_interleave(channels), z.repeat_interleave(channels, 0))
        return x.reshape(y.shape)


@final
class MeanOfChannels(RestoringPrior):
    """Apply a colour model to grey images, each taken as C equal channels.

    The levels of this prior are those of the mean over the channels of the model's `y_s`, with the noise std
    `sigma_s / sqrt(C)`. The channels of `y_s` differ from their mean by `N_s (n_c - mean n)`, with white n and N_s the
    shaping of the noise at level s. The network gets the mean plus a draw of this difference, distributed as a grey
    image with independent noise in each channel, and the estimate is the mean of its output. The draw comes from the
    first part of the prior's z.

    Args:
        prior: for images with several channels.
        size: height and width of the images.
    """

    def __init__(self, prior: RestoringPrior, *, size: tuple[int, int]) -> None:
        assert prior.image_shape is not None  # as for every colour model
        channels, *rest = prior.image_shape
        super().__init__(
            _MeanProcess(prior.process, channels), image_shape=(1, *rest), center=prior.center, scale=prior.scale
        )
        self.prior, self.locality, self.drawn = prior, prior.locality, (channels, *size)
        self.latent, self.generative = math.prod(self.drawn) + prior.latent, prior.generative

    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        n = z[:, : math.prod(self.drawn)].reshape(-1, *self.drawn)
        colours = y + self.prior.process.shape_noise(n - n.mean(1, keepdim=True), level)
        return self.prior._restore(colours, level, z[:, n[0].numel() :]).mean(1, keepdim=True)


@final
class _MeanProcess(ForwardProcess):
    """The mean over the channels of another process, for images whose channels are equal."""

    def __init__(self, process: ForwardProcess, channels: int) -> None:
        super().__init__(process.a_by_level.tolist(), (process.sigma_by_level / math.sqrt(channels)).tolist())
        self.process, self.channels, self.keeps_resolution = process, channels, process.keeps_resolution
        self.to(process.a_by_level.device)

    def mean(self, x: Tensor, level: Tensor) -> Tensor:
        return self.process.mean(x, level)

    def shape_noise(self, e: Tensor, level: Tensor) -> Tensor:
        return self.process.shape_noise(e, level) / math.sqrt(self.channels)

    def denoising_levels(self) -> tuple[Tensor, Tensor]:
        levels, stds = self.process.denoising_levels()
        return levels, stds / math.sqrt(self.channels)
