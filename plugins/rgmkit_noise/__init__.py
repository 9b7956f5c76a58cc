"""Noise: models of its law, white Gaussian noise as a degradation, and its forward process."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the components of this plugin; their modules are imported when one is used."""
    return [
        Component("degradation", "gaussian-noise", "rgmkit_noise.noise:GaussianNoise", "White Gaussian noise"),
        Component("noise", "white", "rgmkit.core.noise:White", "White Gaussian noise of a std"),
        Component("noise", "per-channel", "rgmkit_noise.gaussian:PerChannel", "A std for each channel"),
        Component("noise", "per-pixel", "rgmkit_noise.gaussian:PerPixel", "A map of stds; inf where a pixel is dead"),
        Component("noise", "correlated", "rgmkit_noise.correlated:Correlated", "A power spectrum or a kernel"),
        Component("noise", "poisson", "rgmkit_noise.photons:Poisson", "Counts of photons"),
        Component("noise", "poisson-gaussian", "rgmkit_noise.photons:PoissonGaussian", "Photons and read noise"),
        Component("process", "gaussian", "rgmkit_noise.process:GaussianProcess", "White noise, level by level (RGM-D)"),
    ]
