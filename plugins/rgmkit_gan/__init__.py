"""Networks, and training objectives with a critic."""

from __future__ import annotations

from rgmkit import Component, hookimpl

NETWORKS = {
    "unet": ("unet:UNet", "Small convolutional restorer, any image size"),
    "unet-discriminator": ("unet:UNetDiscriminator", "Discriminator for unet"),
    "projected-discriminator": ("projected:ProjectedDiscriminator", "Discriminator of the features of a fixed network"),
    "residual-unet": ("residual_unet:ResidualUNet", "Denoiser of grey and colour images, any size"),
    "mlp": ("mlp:MLP", "Restorer of points"),
    "mlp-discriminator": ("mlp:MLPDiscriminator", "Discriminator for mlp"),
    "ncsnpp": ("ncsnpp.restorer:NCSNpp", "The published restorer (NCSN++)"),
    "ncsnpp-discriminator": (
        "ncsnpp.discriminator:SmallDiscriminator", "Published discriminator for ncsnpp, 32x32 images",
    ),
    "ncsnpp-large-discriminator": (
        "ncsnpp.discriminator:LargeDiscriminator", "Published discriminator for ncsnpp, 256x256 images",
    ),
}  # fmt: skip
OBJECTIVES = {
    "kl": ("KL", "KL(fake || real), logistic critic, R1"),
    "uotm": ("UOTM", "Unbalanced transport: kl, and the critic knows the cost"),
    "js": ("JS", "Non-saturating logistic GAN, R1"),
    "relativistic": ("Relativistic", "Relativistic pairs, R1 and R2"),
}


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the networks, their discriminators and the objectives; modules are imported when one is used."""
    networks = [Component("network", key, f"rgmkit_gan.networks.{at}", text) for key, (at, text) in NETWORKS.items()]
    return networks + [
        Component("objective", key, f"rgmkit_gan.objectives:{name}", text) for key, (name, text) in OBJECTIVES.items()
    ]
