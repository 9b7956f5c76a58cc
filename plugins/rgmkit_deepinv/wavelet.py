"""The wavelet prior, evaluated by deepinv and ptwt."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING

from torch import Tensor

from rgmkit.errors import ConfigError
from rgmkit.runtime.extras import require
from rgmkit_deepinv.explicit import ExplicitPrior, Prox, require_images

if TYPE_CHECKING:
    from deepinv.optim import WaveletPrior


class Wavelet(ExplicitPrior):
    """`h(x) = |W x|_1`: the detail coefficients of an orthogonal wavelet transform, without the approximation.

    The image is extended by reflection, and the prox thresholds the coefficients. It is exact for `haar` on sizes that
    `2^levels` divides. Longer wavelets reach beyond the border: within their length of it `h` counts some details
    twice, and the prox is that of a slightly different function. Any image size works; images smaller than 32 pixels
    have fewer levels, so that the coarsest scale keeps 4 pixels.

    The default weight is .1 dB below the best one on average, .04 dB at most on photographs, 1 dB on digits.

    Args:
        weight: factor of `h`, 0 or more. Default: from the noise, see `ExplicitPrior`.
        wavelet: an orthogonal wavelet of PyWavelets: haar, db2 …, sym2 …, coif1 ….
        levels: of the transform.

    Raises:
        ConfigError: if ptwt is not installed, or the wavelet is unknown or not orthogonal.

    Source: S. Mallat, 1989 (the transform); Donoho and Johnstone, 1994 (the threshold).

    >>> import torch
    >>> prior = Wavelet(weight=1, wavelet="haar", levels=1)
    >>> prior.value(torch.tensor([[[[1.0, -1.0], [1.0, -1.0]]]]))
    tensor([2.0000])
    """

    strength, exponent = 0.9, 0.5

    def __init__(self, *, weight: float | None = None, wavelet: str = "sym4", levels: int = 3) -> None:
        super().__init__(weight=weight)
        _check(wavelet)
        if levels < 1:
            raise ConfigError(f"levels is {levels}: give 1 or more")
        self.wavelet, self.levels = wavelet, levels

    @property
    def expected_failures(self) -> dict[str, str]:
        """The conformance checks that fail, each with its reason."""
        if self.wavelet == "haar":
            return {}
        return {"prox_minimises": "within a wavelet's length of the border, the prox is that of another function"}

    def value(self, x: Tensor) -> Tensor:
        """Return `weight * h(x)`, (B,)."""
        return self._factor() * self._native(tuple(x.shape)).fn(require_images(x))

    def make_prox(self, shape: tuple[int, ...]) -> Prox:
        """Return soft thresholding of the details by `gamma * weight`."""
        native = self._native(shape)
        return lambda x, gamma: native.prox(require_images(x), ths=1.0, gamma=self._threshold(x, gamma))

    def _native(self, shape: tuple[int, ...]) -> WaveletPrior:
        from deepinv.optim import WaveletPrior

        most = int(math.log2(max(1, min(shape[-2:])))) - 2
        return WaveletPrior(level=max(1, min(self.levels, most)), wv=self.wavelet, mode="symmetric")


def _check(wavelet: str) -> None:
    require("ptwt", "the prior wavelet")
    import pywt

    names = pywt.wavelist(kind="discrete")
    if wavelet not in names:
        near = difflib.get_close_matches(wavelet, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else "give haar, db2, sym4, coif1 …"
        raise ConfigError(f"wavelet is {wavelet!r}, which PyWavelets does not have: {hint}")
    if not pywt.Wavelet(wavelet).orthogonal:
        raise ConfigError(f"wavelet is {wavelet!r}, which is not orthogonal: give haar, db2, sym4, coif1 …")
