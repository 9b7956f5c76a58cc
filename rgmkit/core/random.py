"""Random numbers, drawn only from the generator that the caller gives.

`Streams` holds one generator per image, so that the noise of an image depends on (seed, index) alone, whatever the
size of its batch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from rgmkit.core.bounds import INTEGERS, check_integer
from rgmkit.errors import ConfigError, show_value

RESTORING, GENERATING = 1, 2  # purposes of `Streams`


class Streams:
    """One random stream per image of a batch: image `i` draws from (seed, i, purpose) only.

    Anything that takes a `torch.Generator` takes a `Streams` in its place. Different purposes give independent noise
    from the same seed: 0 is for measurements, `rgmkit.restore` uses `RESTORING` and `rgmkit.generate` `GENERATING`.
    With `draws`, the batch holds all images once for each draw, and draw k of image `i` has a stream of its own.

    >>> whole = randn((3, 2), generator=Streams(seed=0, indices=range(3)))
    >>> last = randn((1, 2), generator=Streams(seed=0, indices=[2]))
    >>> bool((whole[2:] == last).all())
    True
    """

    def __init__(self, seed: int, indices: Iterable[int], *, purpose: int = 0, draws: Iterable[int] = (0,)) -> None:
        places = [(index, draw) for draw in draws for index in list(indices)]
        self.generators = [seeded(seed, index, purpose, *([draw] if draw else [])) for index, draw in places]

    def __len__(self) -> int:
        return len(self.generators)

    def only(self, i: int) -> Streams:
        """Return the stream of image `i` of the batch alone."""
        one = copy.copy(self)
        one.generators = self.generators[i : i + 1]
        return one

    def states(self) -> list[Tensor]:
        """Return the state of each stream, which changes with every draw."""
        return [generator.get_state() for generator in self.generators]


Randomness: TypeAlias = torch.Generator | Streams | None


def repeat(generator: Randomness) -> Randomness:
    """Return a copy of a generator, which draws the same numbers as the original does from now on.

    >>> generator = seeded(0)
    >>> again = repeat(generator)
    >>> bool((randn((2,), generator=generator) == randn((2,), generator=again)).all())
    True
    """
    if generator is None:
        return None
    if isinstance(generator, torch.Generator):
        return torch.Generator(generator.device).set_state(generator.get_state())
    other = copy.copy(generator)
    other.generators = [torch.Generator(g.device).set_state(g.get_state()) for g in generator.generators]
    return other


def seeded(*entropy: int) -> torch.Generator:
    """Return a CPU generator whose stream is a function of the given integers, of 64 bits and any sign.

    Raises:
        ConfigError: for an integer of more bits, or anything else.

    >>> a, b = seeded(1, 2), seeded(1, 2)
    >>> bool(torch.rand(3, generator=a).equal(torch.rand(3, generator=b)))
    True
    """
    words = [_check_seed(number) % 2**64 for number in entropy]
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


def _check_seed(number: int) -> int:
    checked = check_integer(number, "seed")
    if checked not in INTEGERS:
        raise ConfigError(f"seed is {show_value(number)}: give a whole number of at most 64 bits")
    return checked


def randn(
    shape: Sequence[int],
    *,
    generator: Randomness = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Draw standard normal values on the device of the generator, and move them to `device`.

    Without a generator they come from a new one, seeded by the system: torch's global generator is never used.
    """
    if isinstance(generator, Streams):
        if len(generator) != shape[0]:
            raise ValueError(f"{len(generator)} random streams for a batch of {shape[0]}")
        rows = [torch.randn(*shape[1:], generator=g, dtype=dtype) for g in generator.generators]
        return torch.stack(rows).to(device) if rows else torch.empty(*shape, dtype=dtype)
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    draw = torch.randn(*shape, generator=generator, device=generator.device, dtype=dtype)
    return draw.to(device)


def poisson(rate: Tensor, *, generator: Randomness = None) -> Tensor:
    """Draw Poisson counts of mean `rate`, (B, ...), as `randn` draws."""
    if isinstance(generator, Streams):
        if len(generator) != len(rate):
            raise ValueError(f"{len(generator)} random streams for a batch of {len(rate)}")
        rows = [torch.poisson(row, g) for row, g in zip(rate.cpu(), generator.generators, strict=True)]
        return torch.stack(rows).to(rate.device)
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    return torch.poisson(rate.to(generator.device), generator).to(rate.device)
