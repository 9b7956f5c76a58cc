"""Relate the values of a measurement to those of an image in [0, 1]."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from rgmkit.core.degradation import Degradation
from rgmkit.core.noise import Noise, NoiseLike
from rgmkit.core.noise_estimation import LEAST_SIDE, wavelet_std
from rgmkit.errors import ConfigError, RangeWarning
from rgmkit.images.value_range import Range, describe

Notes = tuple[str, ...]

POOL = 4  # side in pixels of the blocks whose means are compared with [0, 1], so that noise hardly counts
MARGIN, SHARE = 0.25, 0.01  # how far outside [0, 1] the means of more than this share of the blocks have to lie
DARK = 1 / 32  # a largest mean below this also raises the question


def relate_values(
    y: Tensor, degradation: Degradation, range: Range | None, *, whole: bool, device: torch.device
) -> tuple[Tensor, Notes]:
    """Relate a measurement to an image in [0, 1]; return it with notes for the user.

    Args:
        y: the measurement, with its range mapped to [0, 1].
        degradation: with which it was measured.
        range: the values that 0 and 1 stand for, if the user gave them.
        whole: whether the values were whole numbers, whose type gives the range.
        device: that of the degradation.

    Raises:
        ConfigError: if the noise exceeds the whole range, as a std in units of the values would.

    Warns:
        RangeWarning: if floats without a range do not look like the measurement of an image in [0, 1].
    """
    y = _as_vector(y, degradation, device)
    if range is not None and range[0] and y.is_complex():
        raise ConfigError(f"the range is {describe(range)}, and complex values have no black: give range=(0, …)")
    if whole or range is not None:
        _check_std(_least_std(degradation.noise, y), range)
    notes = () if range is None else note_noise(degradation, range)
    if range is not None and range[0]:
        black = black_level(y[:1].to(device), range, degradation)
        y = y + black.to(y) if black.shape[1:] == y.shape[1:] else y  # if they differ, the solver says so
    doubts = () if whole and range is None else note_values(y.detach(), degradation, range, device)
    if range is None:
        for doubt in doubts:
            warnings.warn(doubt, RangeWarning, stacklevel=3)
    return y, notes + doubts


def _as_vector(y: Tensor, degradation: Degradation, device: torch.device) -> Tensor:
    """Return a measurement (1, m) that was read as a picture of one row as a vector, if the operator measures these."""
    vector, is_row = y.flatten(1), y.ndim == 4 and y.shape[:3] == (1, 1, 1)
    return vector if is_row and _fits(vector, degradation, device) and not _fits(y, degradation, device) else y


def _fits(y: Tensor, degradation: Degradation, device: torch.device) -> bool:
    """Tell whether the operator has measurements of the shape of `y`."""
    try:
        with torch.no_grad():
            image = torch.zeros(1, *degradation.image_shape(tuple(y.shape))[1:], device=device)
            return degradation.A(image).shape == y.shape
    except Exception:  # of an operator of other shapes
        return False


def black_level(y: Tensor, range: Range, degradation: Degradation) -> Tensor:
    """Return `low (1 - A 1) / (high - low)`, to be added to a measurement whose `range` was mapped to [0, 1].

    An image `low + (high - low) x` is measured as `low A 1 + (high - low) A x`, and not as `low + (high - low) A x`,
    which is the same only where A keeps a constant. The term is 0 for an operator that is not linear: its A is that of
    values in [0, 1].
    """
    low, high = range
    if not low or not degradation.linear:
        return torch.zeros(1, *y.shape[1:], dtype=y.dtype, device=y.device)
    one = torch.ones(1, *degradation.image_shape(tuple(y.shape))[1:], dtype=y.real.dtype, device=y.device)
    return low / (high - low) * (1 - degradation.A(one))


def note_noise(degradation: Degradation, range: Range) -> Notes:
    """Return a note on what a given noise std means in units of `range`.

    Raises:
        ConfigError: if it exceeds the whole range, as one in units of the range would.
    """
    noise, span = degradation.noise, range[1] - range[0]
    if noise is None:
        return (f"the noise is estimated relative to the range {describe(range)}: 0.01 is {0.01 * span:.4g}",)
    if not isinstance(noise, float) or not noise or span == 1:
        return ()
    _check_std(noise, range)
    return (f"noise={noise:g} is relative to the range {describe(range)}: a standard deviation of {noise * span:.4g}",)


def _least_std(noise: NoiseLike, y: Tensor) -> float:
    """Return the least noise std in a measurement; 0 if it is unknown or depends on the signal."""
    if not isinstance(noise, Noise):
        return noise or 0.0
    return 0.0 if noise.depends_on_signal or not noise.known else float(noise.variance(y[:1]).min().sqrt())


def _check_std(std: float, range: Range | None) -> None:
    """Raise a ConfigError if a noise std exceeds the range; None is that of a type of whole numbers."""
    low, high = range or (0, 255)
    if std < 1 or high - low == 1:
        return
    whole, units = (f"range {describe(range)}", "its units") if range else ("range of the type", "8 bits")
    raise ConfigError(
        f"noise is {std:g}, and is relative to the {whole}: for a standard deviation of {std:g} in {units} give "
        f"noise={std / (high - low):.4g}"
    )


def note_values(y: Tensor, degradation: Degradation, range: Range | None, device: torch.device) -> Notes:
    """Return a note if `y` does not look like the measurement of an image in [0, 1], its range if one was given.

    The image is estimated by `initial_estimate`, for the brightest measurement of the batch, and averaged over blocks.
    The range (0, 1) raises no question: it says that floats are meant as they are.
    """
    usual = y.ndim != 4 or y.is_complex() or not degradation.linear or range == (0, 1)
    if usual or (float(y.min()) >= 0 and DARK < float(y.max()) <= 1):
        return ()
    brightest = int(y.flatten(1).abs().amax(1).argmax())
    try:
        with torch.no_grad():
            x = degradation.initial_estimate(y[brightest : brightest + 1].to(device))
    except Exception:  # of a measurement of another size, for example: the solver says what is wrong
        return ()
    if x.ndim != 4:
        return ()
    means = avg_pool2d(x, [min(POOL, side) for side in x.shape[-2:]]).flatten()
    large = min(x.shape[-2:]) >= LEAST_SIDE
    noise = degradation.noise if isinstance(degradation.noise, float) else wavelet_std(x) if large else 0.0
    margin = MARGIN + 3 * noise / POOL
    low, high = float(means.min()), float(means.max())
    outside = ((means < -margin) | (means > 1 + margin)).float().mean()
    if not float(outside) > SHARE and not 0 < max(abs(low), high) < DARK:
        return ()
    if range is not None:
        low, high = (range[0] + (range[1] - range[0]) * end for end in (low, high))
    found = f"the measurement looks like one of an image with values from about {low:.3g} to {high:.3g}"
    if range is not None:
        return (f"{found}, and its range is {describe(range)}: are these black and white?",)
    black, white = (-1 if -1.5 < low < -margin and high < 1.5 else 0), _guess(high)
    return (
        f"{found}, and is taken for one of an image in [0, 1]: give the values of black and white, such as "
        f"range=({black}, {white}) or --range {black},{white}",
    )


def _guess(high: float) -> str:
    """Guess the value of white."""
    usual = (1, 100, 255, 1023, 4095, 16383, 65535)
    return f"{next((end for end in usual if high <= 1.1 * end), 10 ** math.ceil(math.log10(max(high, 1)))):g}"
