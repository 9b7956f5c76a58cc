"""What is believed of clean images."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, final

import torch
from torch import Tensor, nn

from rgmkit.core.bridge import bridge_to
from rgmkit.core.denoising import mixture, stds
from rgmkit.core.linear import per_image
from rgmkit.core.locality import Locality
from rgmkit.core.process import ForwardProcess
from rgmkit.core.random import Randomness, randn
from rgmkit.deprecation import renamed_keyword
from rgmkit.errors import DataError, IncompatibleError

if TYPE_CHECKING:
    import deepinv

CAPABILITIES = frozenset({"value", "grad", "prox", "restore"})


class Prior(nn.Module, ABC):
    """`g(x)` on images in [0, 1]: any of a value, a gradient, a prox; `provides` says which.

    A solver names what it needs and is refused a prior that lacks it before anything runs.
    """

    provides: ClassVar[frozenset[str]] = frozenset()

    def value(self, x: Tensor) -> Tensor:
        """`g(x)` of each image, (B,)."""
        raise self._lacks("value")

    def grad(self, x: Tensor) -> Tensor:
        """The gradient of `g` at `x`."""
        raise self._lacks("grad")

    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """`argmin_u gamma g(u) + 1/2 |u - x|^2`; `gamma` is a number or a tensor (B,)."""
        raise self._lacks("prox")

    @property
    def device(self) -> torch.device | None:
        """Where the parameters and buffers are; None if there are none."""
        tensors = itertools.chain(self.parameters(), self.buffers())
        return next((tensor.device for tensor in tensors), None)

    @property
    def dtype(self) -> torch.dtype | None:
        """The precision of the images: that of the parameters, float32 for half precision; None without parameters."""
        dtype = next((p.dtype for p in self.parameters() if p.is_floating_point()), None)
        return None if dtype is None else torch.promote_types(dtype, torch.float32)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise unless images of `shape` (C, H, W), or vectors (d,), can be restored with this prior.

        Raises:
            DataError: for vectors, if it is a prior of images.
            IncompatibleError: if its training images have other axes or channels.
        """
        trained = getattr(self, "image_shape", None)
        if trained is None:
            if len(shape) == 1:
                raise DataError(f"y of shape (B, {shape[0]}) holds vectors: give an image as (1, H, W)")
            return
        if len(shape) != len(trained) or shape[0] != trained[0]:
            raise IncompatibleError(
                f"the model was trained on {_kind(trained)} and the image asked for is {_kind(shape)}: "
                f"take another model"
            )

    def _lacks(self, what: str) -> IncompatibleError:
        has = ", ".join(sorted(self.provides)) or "nothing"
        return IncompatibleError(f"the prior {type(self).__name__} has no {what} (it has {has})")


def _kind(shape: tuple[int, ...]) -> str:
    """Images of a shape, in words."""
    if len(shape) != 3:
        return f"points of {shape[0]} values" if len(shape) == 1 else f"arrays {tuple(shape)}"
    word = {1: "grey", 3: "colour"}.get(shape[0])
    return f"{word or 'many-channel'} {tuple(shape)}"


@final
class NoPrior(Prior):
    """Nothing is believed of the image: only what was measured counts."""


class RestoringPrior(Prior):
    """A prior given by a network that undoes every level of a forward process.

    Images are in [0, 1]; degraded images `y` are in the range of the process. The change of range,
    `x = center + scale * (process range)`, happens in `degrade` and `restore` and nowhere else.

    Args:
        process: the levels that the network restores from.
        image_shape: shape of one image of the training data, (C, H, W) or (d,), when it is known.
        center, scale: of the process range in the units of the user: 1/2 and 1/2 for images.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"restore", "prox"})
    latent: int = 0  # number of values of the auxiliary variable z
    continuous: bool = False  # whether the network answers between two levels, too
    generative: bool = True  # False for a denoiser: its answers are means
    locality: Locality | None = None  # how far the network looks; None: it may look at the whole image

    def __init__(
        self,
        process: ForwardProcess,
        *,
        image_shape: tuple[int, ...] | None = None,
        center: float = 0.5,
        scale: float = 0.5,
    ) -> None:
        super().__init__()
        self.process = process
        self.image_shape = None if image_shape is None else tuple(image_shape)
        self.center, self.scale = float(center), float(scale)

    @abstractmethod
    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        """`x_hat = G(y, level - 1, z)` in the range of the process, for levels 1 … T."""

    @final
    @renamed_keyword("noise", "noise_std")
    def degrade(
        self, x: Tensor, level: int | Tensor, *, noise_std: float = 0.0, generator: Randomness = None
    ) -> Tensor:
        """Draw `R_s(x)`: images `x` degraded to `level` s, 0 … T.

        `noise_std` is the std of white noise that `x` has already; only the rest of the level's noise is added.
        """
        level = self._level(level, x)
        e = randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        if noise_std > 0:
            present = noise_std * self.process.a(level) / (self.scale * self.process.sigma(level))
            e = e * per_image((1 - present.square()).clamp(min=0).sqrt(), e)
        return self.process.degrade((x - self.center) / self.scale, level, standard_normal=e)

    @final
    def descend(self, x: Tensor, y: Tensor, level: int, eta: float, *, generator: Randomness = None) -> Tensor:
        """Images of level `level - 1` from `y` of that level and the answer `x` to it, see `ForwardProcess.descend`."""
        e = randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        x = (x - self.center) / self.scale
        return self.process.descend(x, y, self.process.full_level(level, x), eta, standard_normal=e)

    @final
    def restore(
        self, y: Tensor, level: int | Tensor, *, z: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """Images `x_hat` from degraded images `y` of level 1 … T; `z` is `(B, latent)`, drawn if None."""
        level = self._level(level, y)
        if z is None:
            z = randn((len(y), self.latent), generator=generator, device=y.device, dtype=y.dtype)
        return self.center + self.scale * self._restore(y, level, z)

    @final
    def denoise(
        self, x: Tensor, std: float | Tensor, *, z: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """`D(x, std)`: images in [0, 1] from images `x` with white noise of any std.

        `G_s(x)` is the answer of level s to `x` in the range of the process, scaled by `a_s`, and **no noise is
        added**: to add what `x` lacks of the level's loses up to 2 dB on digits. With noise_s that of level s
        (`noise`), the answers are mixed:

            std <= noise_1:    x + w (G_1 - x),          w = 1.1 r / (r + .1),  r = (std / noise_1)^2
            between s and s+1: G_s + w (G_{s+1} - G_s),  w = log(std / noise_s) / log(noise_{s+1} / noise_s)
            std >= noise_T:    G_T

        A network that answers between two levels (`continuous`) is asked for its answer at level `s + w` in place of
        the mixture, in one evaluation.

        Below level 1, where the network would take off more than there is, `x` and its answer have the weights of
        the inverse variances of their errors, that of the network taken to be `.1 noise_1^2`. So `D(x, 0) = x`,
        and D is continuous in std. The .1 and the mixing were chosen on 300 training digits, where they are within
        .1 dB of the best mixture of the same answers up to level 2 (.25 above), and verified on the held-back ones.

        An image costs one network evaluation up to level 1 and from level T on, two between (one if `continuous`), none
        at std 0.

        Args:
            x: (B, C, H, W), in [0, 1] up to the noise; gradients pass through.
            std: of the noise, 0 or more: a number, or a tensor of 1 or B values.
            z: (B, latent), drawn if None.

        Raises:
            IncompatibleError: if `std` has another number of values.
            ConfigError: if `std` is negative or not finite.
        """
        lower, weight = mixture(stds(std, len(x), self.noises), self.noises)
        if z is None:
            z = randn((len(x), self.latent), generator=generator, device=x.device, dtype=x.dtype)
        if self.continuous:
            level = torch.where(lower > 0, (lower + weight).clamp(max=self.process.levels), 1.0)
            share = torch.where(lower > 0, 1.0, weight)
            return x.lerp(self._answers(x, level, z, share > 0), per_image(share, x).expand_as(x))
        low = self._answers(x, lower, z, (lower > 0) & (weight < 1))
        high = self._answers(x, (lower + 1).clamp(max=self.process.levels), z, weight > 0)
        return low.lerp(high, per_image(weight, low).expand_as(low))

    @final
    def evaluations(self, std: float | Tensor) -> int:
        """Network evaluations of `denoise` for the image that needs the most."""
        lower, weight = mixture(stds(std, torch.as_tensor(std).numel(), self.noises), self.noises)
        if self.continuous:
            return int(((lower > 0) | (weight > 0)).any())
        return int((((lower > 0) & (weight < 1)).int() + (weight > 0).int()).max())

    @final
    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """Plug and play: `denoise` of std `sqrt(gamma)` stands in for the prox of `gamma g`."""
        return self.denoise(x, torch.as_tensor(gamma).sqrt(), generator=generator)

    @final
    def to_deepinv(self, *, seed: int = 0) -> deepinv.models.Denoiser:
        """This prior as a deepinv `Denoiser`: `D(x, sigma)` for images in [0, 1] with noise of std sigma.

        `denoise` says how levels are chosen, and what happens between and outside them.
        `seed` decides the auxiliary variable z: the same call gives the same bits.
        """
        denoiser: deepinv.models.Denoiser = bridge_to("deepinv").hand_over_prior(self, seed=seed)
        return denoiser

    def noise(self, level: int) -> float:
        """The noise of a level as the std of a noisy image in [0, 1]: `scale * sigma_s / a_s`."""
        process = self.process
        return self.scale * float(process.sigma_by_level[level] / process.a_by_level[level])

    @property
    def noises(self) -> Tensor:
        """`noise` of the levels 1 … T, (T,)."""
        return self.scale * (self.process.sigma_by_level / self.process.a_by_level)[1:]

    def _level(self, level: int | Tensor, like: Tensor) -> Tensor:
        return level if isinstance(level, Tensor) else self.process.full_level(level, like)

    def _answers(self, x: Tensor, level: Tensor, z: Tensor, needed: Tensor) -> Tensor:
        """The network's answers from `level`, nothing added, where they are needed, and `x` elsewhere."""
        if not bool(needed.any()):
            return x
        y = self.process.mean((x[needed] - self.center) / self.scale, level[needed])
        answers = x.clone()
        answers[needed] = self.restore(y, level[needed], z=z[needed])
        return answers
