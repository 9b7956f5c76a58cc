"""The published network and its discriminators: equal to the reference, and what else they take."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rgmkit_gan.networks.ncsnpp.discriminator import LargeDiscriminator, SmallDiscriminator, append_minibatch_std
from rgmkit_gan.networks.ncsnpp.layers import Attention, Block
from rgmkit_gan.networks.ncsnpp.resampling import FIR, Plain
from rgmkit_gan.networks.ncsnpp.restorer import NCSNpp
from rgmkit_gan.objectives import gradient_penalty, penalise_both
from torch.nn.functional import conv2d, interpolate, pad

import rgmkit
from rgmkit.config import build
from rgmkit.core.objective import Pair
from rgmkit.core.random import seeded

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"
with_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the numeric references are not here")
TINY = {"width": 8, "multipliers": (1, 2), "blocks": 1, "attention": (8,), "latent": 3, "style": 16, "style_layers": 1}
DTYPES = [torch.float32, torch.float64]


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(0), dtype=torch.float64)


def tiny(seed: int = 0, **options) -> NCSNpp:
    """A small network in which every layer counts, the ones that start near zero too."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = NCSNpp(**{"image_shape": (3, 16, 16), **TINY, **options}).double().eval()
    generator = seeded(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    return network


def archive(name: str):
    content = np.load(REFERENCE / name)
    arrays = {key: torch.from_numpy(content[key]) for key in content.files}
    return arrays, {key.removeprefix("param/"): a for key, a in arrays.items() if key.startswith("param/")}


@with_reference
@pytest.mark.parametrize("dtype", DTYPES)
def test_restorer_equals_the_reference(dtype):
    arrays, weights = archive("ncsnpp_generator_small.npz")
    network = NCSNpp(
        image_shape=(3, 16, 16),
        width=16,
        multipliers=(1, 2),
        blocks=1,
        attention=(8,),
        latent=12,
        style=32,
        style_layers=3,
    )
    assert list(network.state_dict()) == list(weights)
    network.load_state_dict(weights)
    network.to(dtype).eval()
    with torch.no_grad():
        x = network(arrays["input_x"].to(dtype), arrays["input_t"], arrays["input_z"].to(dtype))
    torch.testing.assert_close(x, arrays["output"].to(dtype), rtol=0, atol=1e-5)


@with_reference
@pytest.mark.parametrize("dtype", DTYPES)
def test_discriminator_equals_the_reference(dtype):
    arrays, weights = archive("discriminator_small.npz")
    critic = SmallDiscriminator(image_shape=(3, 32, 32), width=8, embedding=32)
    assert list(critic.state_dict()) == list(weights)
    critic.load_state_dict(weights)
    x, t = arrays["input_x"].to(dtype), arrays["input_t"]
    with torch.no_grad():
        judged, features = critic.to(dtype)(x, t), critic.features(x, t)
    torch.testing.assert_close(judged, arrays["logits"][:, 0].to(dtype), rtol=0, atol=1e-5)
    torch.testing.assert_close(features, arrays["features"].to(dtype), rtol=0, atol=1e-5)


def size(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.slow
def test_published_sizes():
    large = {"width": 64, "multipliers": (1, 1, 2, 2, 4, 4), "style_layers": 3}
    with torch.device("meta"):
        assert size(NCSNpp(image_shape=(3, 32, 32))) == 48_432_515
        assert size(SmallDiscriminator(image_shape=(3, 32, 32))) == 12_741_249
        assert size(NCSNpp(image_shape=(3, 256, 256), **large)) == 39_726_979
        assert size(LargeDiscriminator(image_shape=(3, 256, 256))) == 27_736_833
        assert LargeDiscriminator(image_shape=(3, 256, 256))(
            torch.empty(2, 3, 256, 256), torch.tensor([0, 1])
        ).shape == (2,)


def apply_filter(h: torch.Tensor, gain: float, before: int, after: int) -> torch.Tensor:
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=h.dtype) / 8
    kernel = gain * torch.outer(row, row)
    padded = pad(h, (before, after, before, after))
    return torch.stack([conv2d(channel[:, None], kernel[None, None])[:, 0] for channel in padded.unbind(1)], 1)


def test_fir_is_its_definition():
    """Zeros between, padding (2, 1), filter; padding (1, 1), filter, every second; padding (2, 2) and filter."""
    h, fir = draw(2, 3, 6, 8), FIR().double()
    between = torch.zeros(2, 3, 12, 16, dtype=h.dtype)
    between[..., ::2, ::2] = h
    torch.testing.assert_close(fir.up(h), apply_filter(between, 4, 2, 1))
    torch.testing.assert_close(fir.down(h), apply_filter(h, 1, 1, 1)[..., ::2, ::2])
    torch.testing.assert_close(fir.before_stride(h), apply_filter(h, 1, 2, 2))


def test_fir_interpolates_inside_the_image_and_plain_does_not():
    h = draw(2, 3, 8, 8)
    up, down = (
        interpolate(h, scale_factor=2, mode="bilinear"),
        interpolate(h, scale_factor=0.5, mode="bilinear", antialias=True),
    )
    torch.testing.assert_close(FIR().double().up(h)[..., 1:-1, 1:-1], up[..., 1:-1, 1:-1])
    torch.testing.assert_close(FIR().double().down(h)[..., 1:-1, 1:-1], down[..., 1:-1, 1:-1])
    torch.testing.assert_close(Plain().down(Plain().up(h)), h)
    assert Plain().up(h)[0, 0, :2, :2].unique().numel() == 1


def test_plain_resampling_is_another_network_with_as_many_weights():
    fir, plain = tiny(), tiny(resampling="plain")
    assert size(fir) == size(plain)
    assert set(plain.state_dict()) - set(fir.state_dict()) == {
        "all_modules.5.Conv_0.weight",
        "all_modules.5.Conv_0.bias",
    }
    y, t, z = draw(2, 3, 16, 16), torch.tensor([0, 2]), draw(2, 3)
    assert (fir(y, t, z) - plain(y, t, z)).abs().max() > 1e-3


@pytest.mark.parametrize("side", [(16, 16), (13, 18), (3, 32), (1, 1)])
def test_any_image_size(side):
    y, t, z = draw(2, 3, *side), torch.tensor([0, 3]), draw(2, 3)
    with torch.no_grad():
        x = tiny()(y, t, z)
    assert x.shape == y.shape and x.isfinite().all() and x.abs().max() < 1


def test_level_and_z_count_and_images_are_kept_apart():
    network, y, t, z = tiny(), draw(2, 3, 16, 16), torch.tensor([1, 2]), draw(2, 3)
    with torch.no_grad():
        x = network(y, t, z)
        torch.testing.assert_close(x[1:], network(y[1:], t[1:], z[1:]))
        torch.testing.assert_close(x, network(y, t, 5 * z))  # only the direction of z counts
        assert (x - network(y, t.flip(0), z)).abs().max() > 1e-3
        assert (x - network(y, t, z.flip(0))).abs().max() > 1e-3


def test_dropout_only_in_training():
    network, y, t, z = tiny(dropout=0.5), draw(2, 3, 16, 16), torch.tensor([1, 2]), draw(2, 3)
    plain = tiny()
    assert list(plain.state_dict()) == list(network.state_dict())
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        assert network(y, t, z).equal(plain(y, t, z))
        assert not network.train()(y, t, z).equal(plain(y, t, z))


def test_blocks_start_as_their_skip():
    block = Block(8, 8, level=4, style=4, dropout=0.0, resampler=FIR())
    h = draw(2, 8, 4, 4).float()
    torch.testing.assert_close(block(h, h[:, :4, 0, 0], h[:, :4, 0, 0]), h / math.sqrt(2), rtol=0, atol=1e-3)
    torch.testing.assert_close(Attention(8)(h), h / math.sqrt(2), rtol=0, atol=1e-3)


def test_attention_is_where_it_is_asked_for():
    def scales(network):
        return [i for i, layer in enumerate(network.all_modules) if isinstance(layer, Attention)]

    assert len(scales(tiny(attention=()))) == 1 and len(scales(tiny(attention=(8,)))) == 3
    assert len(scales(tiny(attention=(8, 16)))) == 5


@pytest.mark.parametrize("batch", range(1, 10))
def test_minibatch_std_of_any_batch(batch):
    """Group i mod ceil(B/4), by a loop."""
    h = draw(batch, 3, 4, 5)
    groups = math.ceil(batch / 4)
    made = append_minibatch_std(h)
    for i in range(batch):
        group = h[i % groups :: groups]
        std = (group.var(0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(made[i, 3], std.expand(4, 5))
    assert made[:, :3].equal(h)


@pytest.mark.parametrize("batch", [1, 3, 6])
def test_discriminator_takes_any_batch_and_its_penalty_has_a_gradient(batch):
    torch.manual_seed(0)
    critic = SmallDiscriminator(image_shape=(1, 16, 16), width=4, embedding=8).double()
    x, t = draw(batch, 1, 17, 14), torch.arange(batch) % 4
    assert critic(x, t).shape == (batch,)
    gradient_penalty(critic, x, t, 1.0).backward()
    assert all(w.grad is None or w.grad.isfinite().all() for w in critic.parameters())
    with pytest.raises(rgmkit.IncompatibleError, match="7x20 pixels"):
        critic(draw(batch, 1, 20, 7), t)


def test_penalties_do_not_compare_real_with_fake():
    torch.manual_seed(0)
    critic = SmallDiscriminator(image_shape=(1, 16, 16), width=4, embedding=8).double()
    t, weight = torch.tensor([0, 1]), torch.tensor([1.0, 2.0])
    pair = Pair(draw(2, 1, 16, 16), 1 + 3 * draw(2, 1, 16, 16), t, weight, weight)
    apart = gradient_penalty(critic, pair.real, t, weight) + gradient_penalty(critic, pair.fake, t, weight)
    torch.testing.assert_close(penalise_both(critic, pair, weight), apart)


def test_options_that_do_not_fit():
    with pytest.raises(rgmkit.ConfigError, match="132 channels"):
        NCSNpp(image_shape=(3, 16, 16), width=132, multipliers=(1,))
    with pytest.raises(rgmkit.ConfigError, match=r"images \(C, H, W\)"):
        NCSNpp(image_shape=(2,))
    with pytest.raises(rgmkit.ConfigError, match="'fir' or 'plain'"):
        build("network", {"use": "ncsnpp", "resampling": "cubic"}, image_shape=(3, 16, 16))
    with pytest.raises(rgmkit.ConfigError, match="embedding is 7"):
        SmallDiscriminator(image_shape=(3, 32, 32), embedding=7)


@pytest.mark.parametrize("process", ["gaussian:levels=4", "multiscale:levels=5"])
@pytest.mark.slow
def test_trains_and_generates(process, tmp_path):
    np.savez(tmp_path / "images.npz", images=np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), np.uint8))
    config = {
        "data": {"use": "npz", "path": str(tmp_path / "images.npz"), "flip": True},
        "process": process,
        "network": {
            "use": "ncsnpp",
            **{k: list(v) if isinstance(v, tuple) else v for k, v in TINY.items()},
            "dropout": 0.1,
        },
        "critic": {"use": "ncsnpp-discriminator", "width": 4, "embedding": 8},
        "objective": {"use": "kl", "interval": 2},
        "training": {"steps": 2, "batch": 6, "lr": 1.6e-4, "preview_every": 0},
    }
    prior = rgmkit.load(rgmkit.train(config, out=tmp_path / "run", progress=False))
    assert isinstance(prior.network, NCSNpp) and prior.latent == 3
    samples = rgmkit.generate(prior, 2, seed=1)
    assert samples.shape == (2, 3, 16, 16) and samples.min() >= 0 and samples.max() <= 1
