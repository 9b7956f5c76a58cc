"""Randomness comes from the generator that is handed in, and only from it.

`Streams` holds one generator per image, so that an image's noise depends on (seed, index) alone and
not on the size of the batch it happens to be in.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

RESTORING, GENERATING = 1, 2  # purposes of `Streams`


class Streams:
    """One random stream per image of a batch: image `i` draws from (seed, i, purpose) only.

    Anything that draws with `randn` takes a `Streams` where it takes a `torch.Generator`. Two things that
    may be drawn with one seed have two purposes, or the noise of one would be the noise of the other:
    0 is free for measurements, `rgmkit.restore` and `rgmkit.generate` take `RESTORING` and `GENERATING`.
    With `draws`, the batch holds all images for each of these, and draw k of image `i` has a stream of its own.

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

    def states(self) -> list[Tensor]:
        """Where each stream is: another state after anything was drawn."""
        return [generator.get_state() for generator in self.generators]


Randomness: TypeAlias = torch.Generator | Streams | None


def seeded(*entropy: int) -> torch.Generator:
    """A CPU generator whose stream is a function of the given whole numbers (of any sign).

    >>> a, b = seeded(1, 2), seeded(1, 2)
    >>> bool(torch.rand(3, generator=a).equal(torch.rand(3, generator=b)))
    True
    """
    words = [operator.index(number) % 2**64 for number in entropy]
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


def randn(
    shape: Sequence[int],
    *,
    generator: Randomness = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Standard normal values of `shape`, drawn where the generator lives, then moved to `device`.

    Without a generator the values come from a fresh one seeded by the system: torch's global
    generator is never read and never moved.
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
