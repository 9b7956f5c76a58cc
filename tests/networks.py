"""Small networks with random weights, and random images for them."""

from __future__ import annotations

import torch
from rgmkit_gan.networks.residual_unet import ResidualUNet
from rgmkit_gan.networks.unet import UNet
from rgmkit_noise.process import GaussianProcess

from rgmkit.core.network_prior import NetworkPrior
from rgmkit.core.random import seeded

NETWORKS = {
    "as shipped": {"blocks": 2},
    "three scales": {"multipliers": (1, 2, 2), "blocks": 1},
    "one scale": {"multipliers": (1,), "patch": 1},
    "wide patches": {"multipliers": (1, 1), "blocks": 1, "patch": 4},
    "residual": {"network": ResidualUNet, "widths": (8, 8, 16), "down": (1, 2, 1), "up": (2, 1)},
    "grey and colour": {"network": ResidualUNet, "channels": (1, 3), "widths": (8, 8), "down": (1, 1), "up": (1,)},
}


def draw(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=seeded(*shape), dtype=dtype)


def unet(colours=1, *, process=None, network=UNet, **options):
    process = process or GaussianProcess(levels=4)
    options = options if network is ResidualUNet else {"width": 8, "latent": 3, **options}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = network(process=process, image_shape=(colours, 16, 16), **options)
    for part in network.modules():  # the last convolutions start small: let what is far away count
        if isinstance(part, torch.nn.Conv2d) and not isinstance(network, ResidualUNet):
            part.weight.data *= 3
    prior = NetworkPrior(process=process, network=network.eval(), image_shape=(colours, 16, 16))
    return prior.requires_grad_(False)
