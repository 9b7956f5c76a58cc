"""Other words for components, by which an error message finds the name that was meant."""

from __future__ import annotations

from collections.abc import Iterable

from rgmkit.errors import find_nearest

SYNONYMS = {
    "downsample": "super-resolution superresolution sr resize downscale downsampling decimation",
    "blur": "deblur deblurring deconvolution gaussian-blur convolution psf",
    "motion-blur": "motion camera-shake shake",
    "gaussian-noise": "denoise denoising noise identity awgn white-noise gaussian white",
    "inpaint": "inpainting mask missing-pixels occlusion hole",
    "grayscale": "colorize colorise colourise colorization colourisation gray grey greyscale",
    "bayer": "demosaic demosaicing raw mosaic cfa",
    "jpeg": "jpg dejpeg deblocking compression",
    "compose": "composition chain sequence pipeline",
    "deepinv.MRI": "mri fourier k-space",
    "deepinv.Tomography": "ct tomography radon x-ray",
    "deepinv.CompressedSensing": "compressed-sensing random-projections cs",
    "deepinv.SinglePixel": "single-pixel hadamard",
    "white": "gaussian gaussian-noise awgn",
    "poisson": "shot photon photons counts",
    "poisson-gaussian": "camera sensor read-noise mixed",
    "correlated": "coloured colored stationary spectrum",
    "per-pixel": "heteroscedastic dead-pixels variance-map",
    "tv": "total-variation totalvariation rof",
    "tgv": "total-generalised-variation total-generalized-variation",
    "wavelet": "wavelets l1 sparsity sparse",
    "tikhonov": "l2 ridge quadratic smoothness",
    "deepinv.BM3D": "bm3d",
    "deepinv.DRUNet": "drunet",
    "deepinv.DnCNN": "dncnn",
    "pnp-drs": "pnp plug-and-play",
    "pinv": "pseudo-inverse pseudoinverse inverse least-squares",
    "gradient-descent": "gd sgd adam gradient",
    "fista": "ista nesterov",
    "pgd": "proximal-gradient forward-backward",
    "drs": "douglas-rachford",
    "posterior": "sample sampling uncertainty",
    "cascade": "generate rgm rgm-d",
    "psnr": "mse snr",
    "frechet": "fid",
    "kernel": "kid",
}
"""For each name, the other words."""


def find_meant(name: str, known: Iterable[str]) -> str | None:
    """Find the known name that is meant by `name`: the same in other letters, a synonym, or of a similar spelling.

    >>> find_meant("TV", ["tv", "tgv"]), find_meant("super_resolution", ["blur", "downsample"])
    ('tv', 'downsample')
    >>> find_meant("bluur", ["blur", "downsample"]), find_meant("something else", ["blur"])
    ('blur', None)
    """
    names = {known_name.lower(): known_name for known_name in known}
    plain = "-".join(name.lower().replace("_", " ").split())
    if plain in names:
        return names[plain]
    meant = next((word for word, others in SYNONYMS.items() if word.lower() in names and plain in others.split()), None)
    return meant or names.get(str(find_nearest(plain, names)))
