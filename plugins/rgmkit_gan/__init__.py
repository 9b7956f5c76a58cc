"""Networks and training objectives."""

from __future__ import annotations

from rgmkit import Component, hookimpl

_NCSNPP = "rgmkit_gan.networks.ncsnpp"


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the networks, their discriminators and the objectives; modules are imported when one is used."""
    return [
        Component("network", "unet", "rgmkit_gan.networks.unet:UNet", "Small convolutional restorer, any image size"),
        Component(
            "network", "unet-discriminator", "rgmkit_gan.networks.unet:UNetDiscriminator", "Discriminator for unet"
        ),
        Component(
            "network",
            "residual-unet",
            "rgmkit_gan.networks.residual_unet:ResidualUNet",
            "Denoiser of grey and colour images, any size",
        ),
        Component("network", "mlp", "rgmkit_gan.networks.mlp:MLP", "Restorer of points"),
        Component("network", "mlp-discriminator", "rgmkit_gan.networks.mlp:MLPDiscriminator", "Discriminator for mlp"),
        Component("network", "ncsnpp", f"{_NCSNPP}.restorer:NCSNpp", "The published restorer (NCSN++)"),
        Component(
            "network",
            "ncsnpp-discriminator",
            f"{_NCSNPP}.discriminator:SmallDiscriminator",
            "Published discriminator for ncsnpp, 32x32 images",
        ),
        Component(
            "network",
            "ncsnpp-large-discriminator",
            f"{_NCSNPP}.discriminator:LargeDiscriminator",
            "Published discriminator for ncsnpp, 256x256 images",
        ),
        Component("objective", "kl", "rgmkit_gan.objectives:KL", "KL(fake || real), logistic critic, R1"),
        Component("objective", "js", "rgmkit_gan.objectives:JS", "Non-saturating logistic GAN, R1"),
        Component("objective", "relativistic", "rgmkit_gan.objectives:Relativistic", "Relativistic pairs, R1 and R2"),
        Component("objective", "mmse", "rgmkit_gan.objectives:MMSE", "Mean squared error: trains a denoiser"),
    ]
