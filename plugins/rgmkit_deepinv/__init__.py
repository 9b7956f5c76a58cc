"""Classical solvers and hand-crafted priors, computed by deepinv, and the bridge to its objects."""

from __future__ import annotations

from rgmkit.plugins import Component, hookimpl

OPERATORS = {
    "CompressedSensing": "Random projections",
    "Demosaicing": "One colour per pixel, in the Bayer pattern",
    "MRI": "Some columns of k-space (the Fourier transform)",
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
PIXELWISE = {
    "L1": "Sum of absolute values: most pixels are black",
    "Tikhonov": "Squared distance to grey",
}
TOTAL_VARIATIONS = {"TVL1": "Anisotropic total variation"}
SAMPLERS = {
    "DPIR": "Plug and play at decreasing noise levels, in 8 iterations",
    "DPS": "Diffusion posterior sampling",
    "DiffPIR": "Diffusion with the prox of the measurement",
}


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the components of this plugin without importing them, and so without importing deepinv."""
    return [
        Component(
            "bridge", "deepinv", "rgmkit_deepinv.bridge:DeepinvBridge", "Objects of deepinv in rgmkit, and the reverse"
        ),
        Component("prior", "tv", "rgmkit_deepinv.total_variation:TV", "Total variation: piecewise constant images"),
        Component(
            "prior", "tgv", "rgmkit_deepinv.total_variation:TGV", "Total generalised variation: piecewise linear"
        ),
        Component("prior", "tikhonov", "rgmkit_deepinv.tikhonov:Tikhonov", "Square of the gradient: smooth images"),
        Component("prior", "wavelet", "rgmkit_deepinv.wavelet:Wavelet", "Sum of absolute wavelet coefficients"),
        Component("solver", "pgd", "rgmkit_deepinv.splitting:PGD", "Proximal gradient descent"),
        Component("solver", "fista", "rgmkit_deepinv.splitting:FISTA", "Accelerated proximal gradient descent"),
        Component("solver", "hqs", "rgmkit_deepinv.splitting:HQS", "Half-quadratic splitting, decreasing steps"),
        Component("solver", "admm", "rgmkit_deepinv.splitting:ADMM", "Alternating direction method of multipliers"),
        Component("solver", "drs", "rgmkit_deepinv.splitting:DRS", "Douglas-Rachford splitting"),
        *_deepinv("degradation", "operators", OPERATORS),
        *_deepinv("prior", "plug_and_play", FILTERS),
        *_deepinv("prior", "networks", NETWORKS),
        *_deepinv("prior", "pixelwise", PIXELWISE),
        *_deepinv("prior", "total_variation", TOTAL_VARIATIONS),
        *_deepinv("solver", "posterior_sampling", SAMPLERS),
    ]


def _deepinv(kind: str, module: str, summaries: dict[str, str]) -> list[Component]:
    """Return the components of a module of this package, each under the name of its class."""
    return [
        Component(kind, f"deepinv.{name}", f"rgmkit_deepinv.{module}:{name}", summary)
        for name, summary in summaries.items()
    ]
