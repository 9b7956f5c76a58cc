"""Random streams: one per image, a function of seed and index."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rgmkit.core.random import Streams, randn, seeded
from rgmkit.errors import ConfigError


def test_streams_depend_on_seed_and_index_only():
    whole = randn((4, 2, 3), generator=Streams(7, range(4)))
    assert torch.equal(whole[2:], randn((2, 2, 3), generator=Streams(7, [2, 3])))
    assert not torch.equal(whole, randn((4, 2, 3), generator=Streams(8, range(4))))
    assert abs(torch.corrcoef(randn((4, 5000), generator=Streams(7, range(4)))).triu(1)).max() < 0.07
    with pytest.raises(ValueError, match="4 random streams for a batch of 3"):
        randn((3, 2), generator=Streams(7, range(4)))
    assert randn((0, 2), generator=Streams(7, [])).shape == (0, 2)


def test_streams_go_on_where_they_were():
    streams, single = Streams(7, [5]), seeded(7, 5)
    first, second = randn((1, 3), generator=streams), randn((1, 3), generator=streams)
    assert not torch.equal(first, second)
    assert torch.equal(
        torch.cat([first, second]).flatten(), torch.cat([torch.randn(3, generator=single) for _ in "ab"])
    )


def test_seeds_of_any_sign_and_order():
    words = [(0,), (1,), (-1,), (0, 1), (1, 1), (1, 2), (2, 1), (2**63,)]
    assert len({float(torch.rand((), generator=seeded(*numbers))) for numbers in words}) == len(words)
    assert seeded(np.int64(-1), 2).initial_seed() == seeded(-1, 2).initial_seed()
    with pytest.raises(ConfigError, match=r"seed is 1\.5: give a whole number"):
        seeded(1.5)


def test_no_generator_means_a_fresh_one():
    state = torch.get_rng_state()
    assert not torch.equal(randn((4,)), randn((4,)))
    assert torch.equal(torch.get_rng_state(), state)
