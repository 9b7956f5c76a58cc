"""The mean squared error: estimates are means of all images that fit, and the network is a denoiser."""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor

from rgmkit.core.objective import Critic, Objective, Pair

LEAST_ERROR = 1e-3  # fraction of the noise variance, added to a squared error before its root or log is taken


@final
class MMSE(Objective):
    """Minimise `E[sigma_s^(-2 power) |G(y_s, s - 1, z) - x|^2]`, a mean over the values of an image, without a critic.

    The network learns the mean of all images that fit `y_s`: closest to the truth on average, but smoother than any
    of them. It is a denoiser for the noise of every level, to be used with `prior.denoise`, `to_deepinv` and the
    solvers; generation needs many levels. With power 1 (the default) the corrections of all levels have equal weight;
    with power 0 the levels with much noise dominate.

    Source: Ho et al., "Denoising Diffusion Probabilistic Models", 2020.

    Args:
        power: of the weight `sigma_s^(-2 power)` of level s.
        scale: of the error of an image before the mean over the batch: "linear", its square "root", or its "log", which
            is the PSNR. With the last two, images with little and with much texture have more equal weight; with "log"
            the weight of a level does not depend on the power.

    >>> import torch
    >>> x = torch.ones(3, 1, 2, 2)
    >>> pair = Pair(real=x, fake=2 * x, level=torch.tensor([0, 1, 2]), variance=torch.ones(3), degraded=torch.ones(3))
    >>> MMSE().restorer_loss(critic=None, pair=pair)  # it needs none
    tensor(1.)
    """

    needs_critic = False
    generative = False

    def __init__(self, *, power: float = 1.0, scale: Literal["linear", "root", "log"] = "linear") -> None:
        self.power, self.scale = power, scale

    def restorer_loss(self, critic: Critic, pair: Pair) -> Tensor:
        """Return the weighted mean squared error, on its scale."""
        error = (pair.fake - pair.real).square().flatten(1).mean(1)
        if self.scale == "linear":
            return (error / pair.degraded**self.power).mean()
        error = error + LEAST_ERROR * pair.degraded  # an even patch can be restored almost exactly
        weighted = error / pair.degraded**self.power
        return weighted.sqrt().mean() if self.scale == "root" else weighted.log().mean() / 2
