"""The forward process of any degradation: its severity and the noise are two axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal, final

import torch
from torch import Tensor

from rgmkit.core.degradation import Degradation
from rgmkit.core.linear import per_image
from rgmkit.core.noise import Noise
from rgmkit.core.operator_levels import embedding_gain
from rgmkit.core.process import ForwardProcess, noise_schedule
from rgmkit.errors import ConfigError, IncompatibleError

LOST = 0.3  # typical size of what an operator changes in an image in [-1, 1], where networks start


@final
class SeverityProcess(ForwardProcess):
    """`y = a_n (2 embed(A^(s)((x + 1)/2) + noise) - 1)`: each noise level n of a schedule at each severity s.

    `A^(s)` is the degradation at severity s: the operator acts on [0, 1], the process on [-1, 1]. The noise is that of
    a measurement; after `embed` it has std sigma_n, the rms over the pixels. It is white, or distributed over the
    values as the noise model of the degradation says; the strength of that noise is not used.
    The levels are ordered by noise, and by severity for equal noise; noise that hides the image, `sigma_n >= a_n`
    and n > 1, is at severity 0 only: with 2 of 4 noise levels below that and the severities 0 and 1 they are (1, 0),
    (1, 1), (2, 0), (2, 1), (3, 0), (4, 0). At severity 0 the network learns to denoise, at severity 1 to restore
    measurements of this operator.

    With `severities` None (version 0.1), noise and severity increase together: level s is
    `2 embed(A^(s/T)((a_s x + 1)/2)) - 1 + sigma_s e`, with white noise.

    Args:
        degradation: the operator at severity 1.
        levels: number of noise levels.
        schedule, r_first, r_last: the noise schedule, see `noise_schedule`.
        severities: increasing, from 0 to 1.

    Raises:
        ConfigError: if the severities do not increase from 0 to 1.

    >>> class Mirror(Degradation):
    ...     def A(self, x):
    ...         return x.flip(-1)
    >>> process = SeverityProcess(degradation=Mirror(), levels=4)
    >>> process.levels
    5
    >>> process.degrade(torch.rand(2, 3, 8, 8), torch.tensor([1, 5])).shape
    torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        *,
        degradation: Degradation,
        levels: int = 4,
        schedule: Literal["vp", "geometric"] = "vp",
        r_first: float = 0.1,
        r_last: float = 1.2,
        severities: tuple[float, ...] | None = (0.0, 1.0),
    ) -> None:
        a, sigma = noise_schedule(schedule, levels, r_first=r_first, r_last=r_last)
        self.coupled = severities is None
        if severities is None:
            pairs = [(n, n / levels) for n in range(levels + 1)]
        else:
            _check_increasing(severities)
            visible = [0 < n < levels and (n == 1 or sigma[n] < a[n]) for n in range(levels + 1)]
            pairs = [(n, s) for n in range(levels + 1) for s in severities if s == 0 or visible[n]]
        super().__init__([a[n] for n, _ in pairs], [sigma[n] for n, _ in pairs])
        self.degradations = torch.nn.ModuleList([degradation.at(s) for _, s in pairs])
        self.register_buffer("severity_by_level", torch.tensor([s for _, s in pairs]), persistent=False)

    severity_by_level: Tensor

    @property
    def error_by_level(self) -> Tensor:
        """The noise, and at a severity above 0 the information that the operator loses."""
        lost = LOST * (self.severity_by_level > 0) * (not self.coupled)
        return self.sigma_by_level.hypot(lost)

    def denoising_levels(self) -> tuple[Tensor, Tensor]:
        """The levels of severity 0; all, if the severities increase with the noise."""
        levels, stds = super().denoising_levels()
        chosen = (self.severity_by_level[1:] == 0) | self.coupled
        return levels[chosen], stds[chosen]

    def mean(self, x: Tensor, level: Tensor) -> Tensor:
        """`a_n (2 embed(A^(s)((x + 1)/2)) - 1)`, or as above; `x` itself at level 0."""
        a = per_image(self.a(level), x)
        image = ((a * x if self.coupled else x) + 1) / 2
        out = a * x
        for s, rows in self._rows(level):
            embedded = 2 * self._embed(self._operator(s).A(image[rows]), s, x.shape) - 1
            out = out.index_copy(0, rows, embedded if self.coupled else a[rows] * embedded)
        return out

    def shape_noise(self, e: Tensor, level: Tensor) -> Tensor:
        """Return the noise of a measurement of a grey image, embedded, with std sigma_n.

        It is `sigma_n e` if it is white and `embed` changes nothing.
        """
        return self._noise_of(torch.zeros_like(e), e, level)

    def _noise_of(self, x: Tensor, e: Tensor, level: Tensor) -> Tensor:
        noise = per_image(self.sigma(level), e) * e
        if self.coupled:
            return noise
        for s, rows in self._rows(level):
            degradation, model = self._operator(s), self._operator(s).noise
            embeds = type(degradation).embed is not Degradation.embed
            if not embeds and not isinstance(model, Noise):
                continue
            image = x[rows] if isinstance(model, Noise) else x[:1]  # of white noise only the shape matters
            Ax = degradation.A((image + 1) / 2)
            measured = _reshape_noise(noise[rows], Ax.shape[1:])
            if isinstance(model, Noise):
                measured = model.colour(measured, Ax) / per_image(_measure_std(model, Ax), Ax)
            if embeds:
                measured = self._embed(measured, s, e.shape) / embedding_gain(degradation, tuple(Ax.shape[1:]))
            noise = noise.index_copy(0, rows, measured)
        return noise

    def _rows(self, level: Tensor) -> list[tuple[int, Tensor]]:
        """Return the levels of severity above 0 in a batch, and the indices of their images."""
        found = [(s, (level == s).nonzero()[:, 0]) for s in range(1, self.levels + 1) if self.severity_by_level[s] > 0]
        return [(s, rows) for s, rows in found if len(rows)]

    def _operator(self, level: int) -> Degradation:
        degradation = self.degradations[level]
        assert isinstance(degradation, Degradation)
        return degradation

    def _embed(self, y: Tensor, level: int, shape: Sequence[int]) -> Tensor:
        degradation = self._operator(level)
        embedded = degradation.embed(y)
        if embedded.shape[1:] != shape[1:]:
            raise IncompatibleError(
                f"{type(degradation).__name__} turns images of shape {tuple(shape)} into {tuple(embedded.shape)}: "
                f"to train on it, its embed(y) must have the shape of the image"
            )
        return embedded


def _measure_std(noise: Noise, Ax: Tensor) -> Tensor:
    """Return the rms of the noise of each measurement, (B,), over the values of finite variance."""
    variance = noise.variance(Ax).expand_as(Ax).flatten(1)
    finite = variance.isfinite()
    mean = variance.where(finite, 0).sum(1) / finite.sum(1).clamp(min=1)
    return mean.clamp(min=torch.finfo(mean.dtype).tiny).sqrt()


def _reshape_noise(e: Tensor, shape: Sequence[int]) -> Tensor:
    """Turn white noise on images into white noise on measurements of `shape`, each from the image's own values.

    If there are more of these than pixels, the values are used again, far from where they were used before.
    """
    values, needed = e.flatten(1), math.prod(shape)
    copies = math.ceil(needed / values.shape[1])
    step = values.shape[1] // copies
    many = torch.cat([values.roll(i * step, 1) for i in range(copies)], 1)
    return many[:, :needed].reshape(-1, *shape)


def _check_increasing(severities: Sequence[float]) -> None:
    rising = all(a < b for a, b in itertools.pairwise(severities))
    if len(severities) < 2 or not rising or severities[0] != 0 or severities[-1] != 1:
        raise ConfigError(f"severities is {list(severities)}: give increasing numbers from 0 to 1, such as [0, 1]")
