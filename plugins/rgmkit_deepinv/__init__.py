"""Classical optimisers and hand-made priors, computed by deepinv, and the bridge to its objects."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl


@hookimpl
def rgmkit_components() -> list[Component]:
    """What this plugin gives; nothing of it, and so not deepinv, is imported here."""
    return [
        Component("prior", "tv", "rgmkit_deepinv.priors:TV", "Isotropic total variation"),
        Component("prior", "tikhonov", "rgmkit_deepinv.priors:Tikhonov", "Squared distance to grey"),
        Component("prior", "wavelet", "rgmkit_deepinv.wavelet:Wavelet", "Sum of absolute wavelet coefficients"),
        Component("solver", "pgd", "rgmkit_deepinv.solvers:PGD", "Proximal gradient descent"),
        Component("solver", "fista", "rgmkit_deepinv.solvers:FISTA", "Accelerated proximal gradient descent"),
        Component("solver", "hqs", "rgmkit_deepinv.solvers:HQS", "Half-quadratic splitting, steps getting smaller"),
        Component("solver", "admm", "rgmkit_deepinv.solvers:ADMM", "Alternating direction method of multipliers"),
        Component("solver", "drs", "rgmkit_deepinv.solvers:DRS", "Douglas-Rachford splitting"),
    ]
