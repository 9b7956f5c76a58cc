"""Priors: hand-crafted penalties or networks that describe clean images."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, final

import torch
from torch import Tensor, nn

from rgmkit.core.bridge import find_bridge
from rgmkit.core.denoising import expand_std, find_levels, find_shrinkage
from rgmkit.core.linear import per_image
from rgmkit.core.locality import Locality
from rgmkit.core.printable import Printable, count_parameters
from rgmkit.core.process import ForwardProcess
from rgmkit.core.random import Randomness, randn, seeded
from rgmkit.deprecation import RenamedAttribute, renamed_keyword
from rgmkit.errors import DataError, IncompatibleError

if TYPE_CHECKING:
    import deepinv

    from rgmkit.core.solver import Problem

PROBE = 0.1  # std of the noise that measures a divergence, over that of level 1
CAPABILITIES = frozenset({"value", "grad", "prox", "restore", "invert"})


class Prior(Printable, nn.Module, ABC):
    """A prior `g(x)` on images in [0, 1].

    `provides` names the methods that a subclass defines: "value", "grad", "prox", "restore", or "invert" (a network
    from the measurement to the image). They are compared with the `needs` of the solver before anything runs.
    """

    provides: ClassVar[frozenset[str]] = frozenset()
    differentiable: bool = True  # whether its methods have gradients
    models_colour: bool = False  # whether it tells natural colours from others
    notes: tuple[str, ...] = ()  # for the user, about how it is used
    model: str = ""  # the name, folder or file from which it was loaded

    def value(self, x: Tensor) -> Tensor:
        """Return `g(x)` of each image, (B,)."""
        raise self._lacks("value")

    def grad(self, x: Tensor) -> Tensor:
        """Return the gradient of `g` at `x`."""
        raise self._lacks("grad")

    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """Compute `argmin_u gamma g(u) + 1/2 |u - x|^2`; `gamma` is a number or a tensor (B,)."""
        raise self._lacks("prox")

    @property
    def device(self) -> torch.device | None:
        """The device of the parameters and buffers; None without any."""
        tensors = itertools.chain(self.parameters(), self.buffers())
        return next((tensor.device for tensor in tensors), None)

    @property
    def dtype(self) -> torch.dtype | None:
        """The precision of the images: that of the parameters, float32 for half precision; None without parameters."""
        dtype = next((p.dtype for p in self.parameters() if p.is_floating_point()), None)
        return None if dtype is None else torch.promote_types(dtype, torch.float32)

    def with_default_weight(self, problem: Problem) -> Prior:
        """Return this prior with the weight that suits the noise and the operator of `problem`, if none was given."""
        return self

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise unless images of `shape` (C, H, W), or vectors (d,), can be restored with this prior.

        Raises:
            DataError: for vectors, if this is a prior for images.
            IncompatibleError: if its training images have other axes or channels.
        """
        trained = getattr(self, "image_shape", None)
        if trained is None:
            if len(shape) == 1:
                raise DataError(f"y of shape (B, {shape[0]}) holds vectors: give an image as (1, H, W)")
            return
        if len(shape) != len(trained) or shape[0] not in (getattr(self, "channels", ()) or trained[:1]):
            raise IncompatibleError(
                f"the model was trained on {_describe(trained)}, and the image is {_describe(shape)}: use another model"
            )

    def _lacks(self, what: str) -> IncompatibleError:
        has = ", ".join(sorted(self.provides)) or "nothing"
        return IncompatibleError(f"the prior {type(self).__name__} has no {what} (it has {has})")


def _describe(shape: tuple[int, ...]) -> str:
    """Describe images of a shape in words."""
    if len(shape) != 3:
        return f"points of {shape[0]} values" if len(shape) == 1 else f"arrays {tuple(shape)}"
    word = {1: "grey", 3: "colour"}.get(shape[0])
    return f"{word or 'many-channel'} {tuple(shape)}"


@final
class NoPrior(Prior):
    """No prior: the image is estimated from the measurement alone."""


class RestoringPrior(Prior):
    """A prior that is a network, trained to restore images from every level of a forward process.

    Images `x` are in [0, 1]; degraded images `y` are in the range of the process. Only this class converts between
    the two: `x = center + scale * v`, with v in the range of the process.

    Args:
        process: the levels that the network restores from.
        image_shape: shape of one training image, (C, H, W) or (d,), if it is known.
        center, scale: offset and factor from the range of the process to the units of the user; 1/2 and 1/2 for images.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"restore", "prox"})
    latent: int = 0  # number of values of the auxiliary variable z
    continuous: bool = False  # whether the network also restores from fractional levels
    models_colour = True
    generative: bool = True  # False for a denoiser, which estimates the posterior mean
    channels: tuple[int, ...] = ()  # numbers of channels of the images that the network takes; () if unknown
    locality: Locality | None = None  # None: an output pixel may depend on the whole image

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
        self.channels = self.image_shape[:1] if self.image_shape is not None and len(self.image_shape) == 3 else ()
        self.center, self.scale = float(center), float(scale)

    @abstractmethod
    def _restore(self, y: Tensor, level: Tensor, z: Tensor) -> Tensor:
        """Return `x_hat = G(y, level - 1, z)` in the range of the process, for levels 1 … T."""

    @final
    @renamed_keyword("noise", "noise_std")
    def degrade(
        self, x: Tensor, level: int | Tensor, *, noise_std: float = 0.0, generator: Randomness = None
    ) -> Tensor:
        """Draw `R_s(x)`: degrade images `x` to `level` s, 0 … T.

        If `x` already has white noise of std `noise_std`, only the rest of the noise of that level is added.
        """
        level = self._level(level, x)
        e = randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        if noise_std > 0:
            present = noise_std * self.process.a(level) / (self.scale * self.process.sigma(level))
            e = e * per_image((1 - present.square()).clamp(min=0).sqrt(), e)
        return self.process.degrade((x - self.center) / self.scale, level, standard_normal=e)

    @final
    def descend(
        self, x: Tensor, y: Tensor, level: int, eta: float, *, target: int | None = None, generator: Randomness = None
    ) -> Tensor:
        """Draw images of the level `target`, given `y` of `level` and the estimate `x` made from it.

        The default of `target` is `level - 1`; see `ForwardProcess.descend`.
        """
        e = randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        x = (x - self.center) / self.scale
        given = {} if target is None or target == level - 1 else {"target": self.process.full_level(target, x)}
        return self.process.descend(x, y, self.process.full_level(level, x), eta, standard_normal=e, **given)

    @final
    def restore(
        self, y: Tensor, level: int | Tensor, *, z: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """Restore images `x_hat` from degraded images `y` of level 1 … T; `z` is `(B, latent)`, drawn if None."""
        level = self._level(level, y)
        if z is None:
            z = randn((len(y), self.latent), generator=generator, device=y.device, dtype=y.dtype)
        own = self.dtype or y.dtype  # an operator may have raised the precision of y
        return self.center + self.scale * self._restore(y.to(own), level, z.to(own)).to(y.dtype)

    @final
    def level_mean(self, x: Tensor, level: int | Tensor) -> Tensor:
        """Degrade images `x` to `level` without noise."""
        return self.process.mean((x - self.center) / self.scale, self._level(level, x))

    @final
    def denoise(
        self,
        x: Tensor,
        std: float | Tensor,
        *,
        z: Tensor | None = None,
        removal: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Denoise images `x` with white noise of any std: `D(x, std)`.

        The network has learnt a few levels, with noise stds noise_1 < … < noise_T on [0, 1] images (`level_stds`). Let
        `G_s(x)` be its estimate from level s, where `x` is scaled by `a_s` and no noise is added. Two are interpolated:

            std <= noise_1:              x + w (G_1 - x),  w = min(1.1 r / (r + .1), stein / (1 - r^2))
            noise_s <= std <= noise_s+1: G_s + w (G_{s+1} - G_s), w = log(std / noise_s) / log(noise_{s+1} / noise_s)
            std >= noise_T:              G_T

        A network that restores between levels (`continuous`) is evaluated once, at level `s + w`, in place of the
        interpolation. Below level 1, `r = (std / noise_1)^2`, and w is the smaller of two weights. The first weights
        `x` and `G_1` by the inverse variances of their errors, `.1 noise_1^2` for the network: `D(x, 0) = x`, and D is
        continuous in std. The .1 and the interpolation were chosen on 300 training digits and verified on held-out
        ones. The second, `stein = -std^2 div(G_1 - id) / |G_1 - x|^2` with mean squares over the pixels, minimises an
        unbiased estimate of the error (`find_shrinkage`): a network that is poor at so little noise changes x little.

        The network is evaluated once for an image from noise_T on, twice below (once from noise_1 on if `continuous`),
        and never at std 0.

        Args:
            x: (B, C, H, W), in [0, 1] up to the noise; differentiable.
            std: of the noise, 0 or more: a number, or a tensor of 1 or B values.
            z: (B, latent), drawn if None.
            removal: `measure_removal(x)`, (B,), if it is known: it hardly differs between similar images.

        Raises:
            IncompatibleError: if `std` has another number of values.
            ConfigError: if `std` is negative or not finite.
        """
        levels, level_stds = self._denoising_levels()
        stds = expand_std(std, len(x), level_stds)
        lower, weight = find_levels(stds, level_stds)
        if z is None:
            z = randn((len(x), self.latent), generator=generator, device=x.device, dtype=x.dtype)
        if self.continuous:
            level = torch.where(lower > 0, (lower + weight).clamp(max=self.process.levels), 1.0)
            low, weight = x, torch.where(lower > 0, 1.0, weight)
            high = self._estimate(x, level, z, weight > 0)
        else:
            low = self._estimate(x, levels[(lower - 1).clamp(min=0)], z, (lower > 0) & (weight < 1))
            high = self._estimate(x, levels[lower.clamp(max=len(levels) - 1)], z, weight > 0)
        below = (lower == 0) & (weight > 0)
        if bool(below.any()):
            removal = self.measure_removal(x, high, z=z) if removal is None else removal
            bound = find_shrinkage(high - x, removal, stds, level_stds[0])
            weight = torch.where(below, weight.minimum(bound), weight)
        return low.lerp(high, per_image(weight, low).expand_as(low))

    @final
    def measure_removal(self, x: Tensor, estimate: Tensor | None = None, *, z: Tensor | None = None) -> Tensor:
        """Measure the share of white noise that the estimate from level 1 removes: `-div(G_1 - id) / n`, (B,).

        The divergence is estimated with one image e of white noise, as `<e, G_1(x + e) - G_1(x) - e>`, in one network
        evaluation, or two if the estimate `G_1(x)` is not given. z is 0 by default.
        """
        levels, level_stds = self._denoising_levels()
        level, everywhere = levels[:1].expand(len(x)), torch.ones(len(x), dtype=torch.bool, device=x.device)
        z = x.new_zeros(len(x), self.latent) if z is None else z
        estimate = self._estimate(x, level, z, everywhere) if estimate is None else estimate
        e = PROBE * level_stds[0] * randn(x[:1].shape, generator=seeded(0), device=x.device, dtype=x.dtype)
        response = self._estimate(x + e, level, z, everywhere) - estimate
        return 1 - (response * e).flatten(1).sum(1) / e.square().sum()

    @final
    def evaluations(self, std: float | Tensor, *, removal_known: bool = False) -> int:
        """Return the largest number of network evaluations that `denoise` needs for an image of the batch."""
        _, level_stds = self._denoising_levels()
        lower, weight = find_levels(expand_std(std, torch.as_tensor(std).numel(), level_stds), level_stds)
        twice = torch.zeros_like(lower, dtype=torch.bool) if self.continuous else (lower > 0) & (weight < 1)
        twice |= (lower == 0) & (not removal_known)
        return int(((lower > 0) | (weight > 0)).int().mul(1 + ((weight > 0) & twice).int()).max())

    @final
    def prox(self, x: Tensor, gamma: float | Tensor, *, generator: Randomness = None) -> Tensor:
        """Denoise at std `sqrt(gamma)` in place of the prox of `gamma g` (plug and play)."""
        return self.denoise(x, torch.as_tensor(gamma).sqrt(), generator=generator)

    @final
    def to_deepinv(self, *, seed: int = 0) -> deepinv.models.Denoiser:
        """Convert to a deepinv `Denoiser`: `D(x, sigma)` for images in [0, 1], see `denoise`.

        `seed` determines the auxiliary variable z: the same call gives the same bits.
        """
        denoiser: deepinv.models.Denoiser = find_bridge("deepinv").export_prior(self, seed=seed)
        return denoiser

    def level_std(self, level: int) -> float:
        """Return the noise std of a level on [0, 1] images: `scale * sigma_s / a_s`."""
        process = self.process
        return self.scale * float(process.sigma_by_level[level] / process.a_by_level[level])

    @property
    def level_stds(self) -> Tensor:
        """`level_std` of the levels 1 … T, (T,)."""
        return self.scale * (self.process.sigma_by_level / self.process.a_by_level)[1:]

    noise = RenamedAttribute("level_std")
    noises = RenamedAttribute("level_stds")

    def extra_repr(self) -> str:
        """Return the model, its network, the number of its parameters, its levels and its images, for `repr`."""
        adapted, network = getattr(self, "prior", None), getattr(self, "network", None)
        if adapted is not None:
            return repr(adapted)
        parts = [self.model, "" if network is None else type(network).__name__, count_parameters(self)]
        parts += [f"{self.process.levels} levels", "" if self.image_shape is None else _describe(self.image_shape)]
        return ", ".join(filter(None, parts))

    def _denoising_levels(self) -> tuple[Tensor, Tensor]:
        """Return the levels for denoising, and their noise stds on [0, 1] images."""
        levels, stds = self.process.denoising_levels()
        return levels, self.scale * stds

    def _level(self, level: int | Tensor, like: Tensor) -> Tensor:
        return level if isinstance(level, Tensor) else self.process.full_level(level, like)

    def _estimate(self, x: Tensor, level: Tensor, z: Tensor, needed: Tensor) -> Tensor:
        """Restore from `level`, without adding noise, where that is `needed`; return `x` elsewhere."""
        if not bool(needed.any()):
            return x
        x_hat = x.clone()
        x_hat[needed] = self.restore(self.level_mean(x[needed], level[needed]), level[needed], z=z[needed])
        return x_hat
