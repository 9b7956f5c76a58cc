"""Classical optimisers and hand-made priors, computed by deepinv, and the bridge to its objects."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl

OPERATORS = {
    "CompressedSensing": "Random projections",
    "Demosaicing": "One colour per pixel, by the Bayer pattern",
    "MRI": "Some columns of the Fourier transform",
    "SinglePixel": "Single-pixel camera: some Hadamard coefficients",
    "Tomography": "Sums along parallel lines",
}
FILTERS = {
    "BM3D": "Plug and play with BM3D (needs the package bm3d)",
    "MedianFilter": "Plug and play with a median filter",
}
NETWORKS = {
    "DRUNet": "Plug and play with DRUNet and your weights",
    "DnCNN": "Plug and play with DnCNN and your weights",
    "FFDNet": "Plug and play with FFDNet and your weights",
    "GSDRUNet": "Plug and play with the gradient-step DRUNet and your weights",
}
VARIATIONS = {
    "L1": "Sum of absolute values: few pixels are not black",
    "TGV": "Total generalised variation of second order",
    "TVL1": "Anisotropic total variation",
}
OPTIMISERS = {
    "DPIR": "Plug and play in 8 steps of falling noise",
    "DPS": "Diffusion posterior sampling",
    "DiffPIR": "Diffusion with steps of plug and play",
}


@hookimpl
def rgmkit_components() -> list[Component]:
    """What this plugin gives; nothing of it, and so not deepinv, is imported here."""
    return [
        Component("bridge", "deepinv", "rgmkit_deepinv.bridge:DeepinvBridge", "Objects of deepinv, both ways"),
        Component("prior", "tv", "rgmkit_deepinv.priors:TV", "Isotropic total variation"),
        Component("prior", "tikhonov", "rgmkit_deepinv.priors:Tikhonov", "Squared distance to grey"),
        Component("prior", "wavelet", "rgmkit_deepinv.wavelet:Wavelet", "Sum of absolute wavelet coefficients"),
        Component("solver", "pgd", "rgmkit_deepinv.solvers:PGD", "Proximal gradient descent"),
        Component("solver", "fista", "rgmkit_deepinv.solvers:FISTA", "Accelerated proximal gradient descent"),
        Component("solver", "hqs", "rgmkit_deepinv.solvers:HQS", "Half-quadratic splitting, steps getting smaller"),
        Component("solver", "admm", "rgmkit_deepinv.solvers:ADMM", "Alternating direction method of multipliers"),
        Component("solver", "drs", "rgmkit_deepinv.solvers:DRS", "Douglas-Rachford splitting"),
        *_deepinv("degradation", "operators", OPERATORS),
        *_deepinv("prior", "filters", FILTERS),
        *_deepinv("prior", "networks", NETWORKS),
        *_deepinv("prior", "variations", VARIATIONS),
        *_deepinv("solver", "optimisers", OPTIMISERS),
    ]


def _deepinv(kind: str, module: str, summaries: dict[str, str]) -> list[Component]:
    """The components of a module of this package, each under the name of its class."""
    return [
        Component(kind, f"deepinv.{name}", f"rgmkit_deepinv.{module}:{name}", summary)
        for name, summary in summaries.items()
    ]
