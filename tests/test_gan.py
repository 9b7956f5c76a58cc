"""The learned prior: networks, discriminators and objectives."""

from __future__ import annotations

import pytest
import torch
from rgmkit_gan.networks.mlp import MLP, MLPDiscriminator
from rgmkit_gan.networks.projected import ProjectedDiscriminator
from rgmkit_gan.networks.residual_unet import ResidualUNet
from rgmkit_gan.networks.unet import UNet, UNetDiscriminator
from rgmkit_gan.objectives import JS, KL, UOTM, Relativistic, gradient_penalty
from rgmkit_noise.process import GaussianProcess
from rgmkit_objectives.mmse import MMSE
from torch.nn.functional import softplus

from rgmkit.core.features import Features
from rgmkit.core.network_prior import NetworkPrior
from rgmkit.core.objective import Pair, no_critic
from rgmkit.core.random import seeded
from rgmkit.errors import ConfigError, IncompatibleError

PROCESS = GaussianProcess(levels=4, schedule="geometric")


@pytest.fixture
def unet() -> UNet:
    torch.manual_seed(0)
    return UNet(process=PROCESS, image_shape=(2, 16, 16), width=8, blocks=1, latent=3).eval()


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(*shape))


@pytest.mark.parametrize("size", [(16, 16), (5, 7), (1, 33), (18, 31)])
def test_unet_takes_any_size(unet, size):
    x = unet(draw(3, 2, *size), torch.tensor([0, 1, 3]), draw(3, 3))
    assert x.shape == (3, 2, *size) and x.isfinite().all()


def test_unet_is_local(unet):
    """A far pixel changes nothing: tiles of a large image are the large image's."""
    y, t, z = draw(1, 2, 96, 16), torch.tensor([1]), draw(1, 3)
    changed = y.clone()
    changed[..., 80:, :] += 1
    with torch.no_grad():
        difference = (unet(y, t, z) - unet(changed, t, z)).abs()
    assert difference[..., :32, :].max() == 0 and difference[..., 80:, :].max() > 0.1


def test_unet_sees_level_and_z_and_keeps_images_apart(unet):
    y, t, z = draw(2, 2, 16, 16), torch.tensor([1, 2]), draw(2, 3)
    with torch.no_grad():
        x = unet(y, t, z)
        torch.testing.assert_close(x[:1], unet(y[:1], t[:1], z[:1]))
        assert (x[:1] - unet(y[:1], t[1:], z[:1])).abs().max() > 1e-3
        assert (x[:1] - unet(y[:1], t[:1], z[1:])).abs().max() > 1e-4


@pytest.fixture
def residual_unet() -> ResidualUNet:
    torch.manual_seed(0)
    options = {"channels": (1, 3), "widths": (8, 16), "down": (1, 2), "up": (1,)}
    return ResidualUNet(process=PROCESS, image_shape=(3, 16, 16), **options).eval()


@pytest.mark.parametrize("size", [(16, 16), (5, 7), (1, 33)])
@pytest.mark.parametrize("channels", [1, 3])
def test_residual_unet_takes_grey_and_colour_of_any_size(residual_unet, channels, size):
    x = residual_unet(draw(3, channels, *size), torch.tensor([0, 1, 3]), draw(3, 0))
    assert x.shape == (3, channels, *size) and x.isfinite().all()


def test_residual_unet_sees_levels_between_two_and_keeps_images_apart(residual_unet):
    y, t, z = draw(2, 3, 16, 16), torch.tensor([1.0, 2.0]), draw(2, 0)
    with torch.no_grad():
        x = residual_unet(y, t, z)
        torch.testing.assert_close(x, residual_unet(y, t.long(), z))
        torch.testing.assert_close(x[:1], residual_unet(y[:1], t[:1], z[:1]))
        halfway = residual_unet(y[:1], torch.tensor([1.5]), z[:1])
        assert (halfway - x[:1]).abs().max() > 1e-3


def test_residual_unet_changes_nothing_as_the_noise_vanishes():
    process = GaussianProcess(levels=3, schedule="geometric", r_first=1e-5, r_last=0.1)
    network = ResidualUNet(process=process, image_shape=(1, 16, 16), widths=(8,), down=(1,), up=())
    y = draw(1, 1, 16, 16)
    with torch.no_grad():
        assert (network(y, torch.tensor([0]), draw(1, 0)) - y).abs().max() < 1e-3


def test_residual_unet_refuses_scales_that_do_not_match():
    with pytest.raises(ConfigError, match="give down for each scale"):
        ResidualUNet(process=PROCESS, image_shape=(3, 16, 16), widths=(8, 16), down=(1,), up=(1,))
    with pytest.raises(ConfigError, match="add it"):
        ResidualUNet(process=PROCESS, image_shape=(3, 16, 16), channels=(1,))


def test_correction_starts_near_the_linear_guess(unet):
    y, t = draw(4, 2, 16, 16), torch.arange(4)
    with torch.no_grad():
        x = unet(y, t, draw(4, 3))
    guess = PROCESS.a(t + 1).view(-1, 1, 1, 1) * y
    assert (x - guess).square().mean() < 0.1


@pytest.mark.parametrize("size", [(16, 16), (10, 7)])
def test_discriminator_judges_each_image_alone(size):
    torch.manual_seed(0)
    critic = UNetDiscriminator(process=PROCESS, image_shape=(2, 16, 16), width=8)
    x, t = draw(3, 2, *size), torch.tensor([0, 1, 3])
    torch.testing.assert_close(critic(x, t)[1:2], critic(x[1:2], t[1:2]))
    assert (critic(x, t) - critic(x, t.flip(0)))[0].abs() > 1e-4


@pytest.mark.parametrize(("pixels", "parts"), [(0, {"heads"}), (8, {"heads", "pixels"})])
def test_a_projected_discriminator_leaves_the_feature_network_as_it_was(pixels, parts):
    """Its batch statistics too. Each image is judged alone, by level."""
    torch.manual_seed(0)
    process = GaussianProcess(levels=4)
    critic = ProjectedDiscriminator(process=process, image_shape=(1, 16, 16), width=8, pixels=pixels).train()
    critic(torch.randn(4, 1, 16, 16), torch.zeros(4, dtype=torch.int64))
    critic.eval()  # the spectral norms are estimated anew at each training step
    x, t = torch.randn(4, 1, 16, 16), torch.tensor([0, 1, 2, 3])
    score = critic(x, t)
    torch.testing.assert_close(score[:2], critic(x[:2], t[:2]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(score, critic(x, t.flip(0)))
    trained = {name.split(".")[0] for name, weight in critic.named_parameters() if weight.requires_grad}
    assert trained == parts and not critic.train().fixed.training
    torch.testing.assert_close(critic.fixed.maps(x)[-1].mean((2, 3)), critic.fixed.of(x))
    with pytest.raises(IncompatibleError, match="gives no maps"):
        Mean().maps(x)


class Mean(Features):
    def forward(self, x):
        return x.mean((2, 3))


def test_prior_feeds_the_level_aimed_at():
    levels = []

    def network(y, t, z):
        levels.append(t.tolist())
        return y

    module = torch.nn.Module()
    module.forward = network
    prior = NetworkPrior(process=PROCESS, network=module)
    x = prior.restore(torch.zeros(2, 1, 4, 4), torch.tensor([1, 4]))
    assert levels == [[0, 3]] and (x == 0.5).all()


def _pair() -> Pair:
    level = torch.tensor([0, 1, 2])
    variances = (PROCESS.sigma(s) ** 2 for s in (level, level + 1))
    return Pair(draw(3, 2), draw(3, 2) + 1, level, *variances)


def _quadratic(x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    return x.square().sum(1) / 2 + level


def test_gradient_penalty_of_a_quadratic():
    """`D = |x|^2 / 2` has the slope x: the penalty is `weight/2 E|x|^2`."""
    x = draw(5, 2)
    penalty = gradient_penalty(_quadratic, x, torch.zeros(5), torch.full((5,), 3.0))
    torch.testing.assert_close(penalty, 1.5 * x.square().sum(1).mean())


@pytest.mark.parametrize(
    "objective, term",
    [
        (KL(), lambda real, fake: softplus(-fake) - softplus(fake)),
        (UOTM(), lambda real, fake: softplus(-fake) - softplus(fake)),
        (JS(), lambda real, fake: softplus(-fake)),
        (Relativistic(), lambda real, fake: softplus(real - fake)),
    ],
    ids=["kl", "uotm", "js", "relativistic"],
)
def test_restorer_terms(objective, term):
    pair = _pair()
    expected = term(_quadratic(pair.real, pair.level), _quadratic(pair.fake, pair.level)).mean()
    torch.testing.assert_close(objective.restorer_loss(_quadratic, pair), expected)


@pytest.mark.parametrize("power", [0, 1, 0.5])
def test_mean_squared_error(power):
    pair = _pair()
    sigma = PROCESS.sigma(torch.tensor([1, 2, 3]))
    expected = ((pair.fake - pair.real).square().mean(1) / sigma ** (2 * power)).mean()
    torch.testing.assert_close(MMSE(power=power).restorer_loss(no_critic, pair), expected)


def test_penalties_are_lazy():
    pair, r1 = _pair(), 0.5 * 0.3 * _pair().real.square().sum(1).mean()
    kl = KL(gamma=0.3, interval=3)
    torch.testing.assert_close(kl.critic_loss(_quadratic, pair, step=3) - kl.critic_loss(_quadratic, pair, step=4), r1)
    pairs = Relativistic(gamma=0.3, interval=3, floor=0.1)
    weight = 3 * 0.3 * (0.1 + pair.variance)
    both = sum((weight * x.square().sum(1)).mean() / 2 for x in (pair.real, pair.fake))
    difference = pairs.critic_loss(_quadratic, pair, step=3) - pairs.critic_loss(_quadratic, pair, step=4)
    torch.testing.assert_close(difference, both)


def test_points():
    torch.manual_seed(0)
    restorer, critic = (cls(process=PROCESS, image_shape=(2,)) for cls in (MLP, MLPDiscriminator))
    y, t = draw(4, 2), torch.arange(4)
    assert restorer(y, t, draw(4, 2)).shape == (4, 2) and critic(y, t).shape == (4,)


def test_a_level_between_two():
    """At a level as it is, and in one evaluation between two; noise of any std, `a^2 + sigma^2 = 1`."""
    process = GaussianProcess(levels=4, schedule="geometric", r_first=0.1, r_last=1.2)
    torch.manual_seed(0)
    network = UNet(process=process, image_shape=(1, 8, 8), width=8, latent=0, continuous=True).eval()
    prior = NetworkPrior(process=process, network=network, image_shape=(1, 8, 8))
    x = draw(2, 1, 8, 8).float()
    for level in (1, 2, 4):
        exact = prior.restore(process.mean(2 * x - 1, torch.full((2,), level)), level)
        torch.testing.assert_close(prior.denoise(x, prior.level_std(level)), exact, rtol=1e-4, atol=1e-5)
    a = process.a(torch.tensor([1.5, 2.0]))
    ratio = (1 - a**2).sqrt() / a
    first, second = 2 * prior.level_std(1), 2 * prior.level_std(2)
    torch.testing.assert_close(ratio, torch.tensor([(first * second) ** 0.5, second]), rtol=1e-4, atol=1e-5)
    low, middle, high = (prior.denoise(x, 0.5 * r) for r in (first, (first * second) ** 0.5, second))
    assert prior.evaluations(0.5 * (first * second) ** 0.5) == 1 == prior.evaluations(prior.level_std(1))
    assert not middle.equal((low + high) / 2) and (middle - low).norm() < 2 * (high - low).norm()
    network.continuous = False
    assert NetworkPrior(process=process, network=network).evaluations(0.5 * (first * second) ** 0.5) == 2
