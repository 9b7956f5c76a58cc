"""Components for the conformance checks: some with one deliberate mistake each, and some that are right.

`python benchmarks/conformance.py` writes docs/conformance.md from them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from rgmkit_deepinv.objects import from_deepinv

import rgmkit
from rgmkit.config import build
from rgmkit.core.noise import Noise, Stabiliser
from rgmkit.core.objective import PriorObjective
from rgmkit.core.random import seeded
from rgmkit.testing import Result, toys

SHAPE = (3, 6, 4)


class Wrong(NamedTuple):
    """A component with a mistake, and the check that is meant for it."""

    component: Any
    mistake: str
    check: str


class Right(NamedTuple):
    """How to construct a component, the shape of its images, and the checks that fail for a known reason."""

    make: Callable[[], Any]
    shape: tuple[int, ...] | None = None
    expected_failures: dict[str, str] = {}  # noqa: RUF012  # never changed


class Shift(rgmkit.Degradation):
    """Right: a pixel is blended with its right neighbour, and half of the light is lost."""

    def __init__(self, *, blend: float = 0.3, noise: float = 0.05) -> None:
        super().__init__(noise=noise)
        self.blend = blend

    def A(self, x):
        return ((1 - self.blend) * x + self.blend * x.roll(-1, -1)) / 2

    def adjoint(self, y):
        return ((1 - self.blend) * y + self.blend * y.roll(1, -1)) / 2


class TwiceTheAdjoint(Shift):
    def adjoint(self, y):
        return 2 * super().adjoint(y)


class NearlyTheAdjoint(Shift):
    def adjoint(self, y):
        return (1 + 1e-6) * super().adjoint(y)


class AdjointOfZeroMean(Shift):
    def adjoint(self, y):
        return super().adjoint(y) + 0.1 * (y.roll(1, -2) - y.roll(-1, -2))  # its sum is 0, and <y, error> is 0


class AdjointAtTheBorder(Shift):
    def A(self, x):
        return torch.cat([x[..., 1:], 0 * x[..., :1]], -1) + x


class Affine(Shift):
    def A(self, x):
        return super().A(x) + 0.01


class Normalised(Shift):
    def A(self, x):
        return x / x.abs().amax((1, 2, 3), keepdim=True)


class CentredBatch(Shift):
    def A(self, x):
        return x - 0.1 * x.mean(0, keepdim=True)


class HiddenFloat32(Shift):
    def A(self, x):
        return super().A(x.float()).to(x.dtype)


class HiddenFloat32InProx(Shift):
    def prox(self, z, y, gamma):
        return super().prox(z.float(), y.float(), gamma).to(z.dtype)


class AlwaysDouble(Shift):
    def A(self, x):
        return super().A(x).double()


class StaysOnTheCPU(Shift):
    def __init__(self, *, noise: float = 0.05) -> None:
        super().__init__(noise=noise)
        self.gain = torch.tensor([0.5, 1.0, 0.5, 1.0])

    def A(self, x):
        return x * self.gain.to(x.dtype)

    def adjoint(self, y):
        return self.A(y)


class InPlace(Shift):
    def A(self, x):
        return x.mul_(0.5)

    def adjoint(self, y):
        return y / 2


class Remembers(Shift):
    def A(self, x):
        self.seen = x.shape[0]
        return super().A(x)


class DrawsInA(Shift):
    def A(self, x):
        return x * torch.rand(x.shape[1:], dtype=x.dtype)


class AddsNoiseInA(Shift):
    def A(self, x):
        return super().A(x) + 0.05 * torch.randn_like(x)


class Halved(Shift):
    def A(self, x):
        return x[..., ::2]

    def adjoint(self, y):
        return torch.stack([y, 0 * y], -1).flatten(-2)


class WrongImageShape(Halved):
    def image_shape(self, y_shape):
        return (*y_shape[:-1], y_shape[-1] + 2)  # right for images of 4 columns only: 2 -> 4

    def embed(self, y):
        return y.repeat_interleave(2, -1)


class NoImageShape(Halved):
    """`image_shape` is missing."""


class NoEmbed(Halved):
    def image_shape(self, y_shape):
        return (*y_shape[:-1], 2 * y_shape[-1])


class ProxOfHalfGamma(Shift):
    def prox(self, z, y, gamma):
        return super().prox(z, y, gamma / 2)


class ProxWithoutHalf(Shift):
    def prox(self, z, y, gamma):
        return super().prox(z, y, 2 * gamma)


class ProxOfMeanGamma(Shift):
    def prox(self, z, y, gamma):
        return super().prox(z, y, torch.as_tensor(gamma).mean())


class AdjointAsPinv(Shift):
    def pinv(self, y):
        return self.adjoint(y)


class DetachedProx(Shift):
    def prox(self, z, y, gamma):
        return super().prox(z, y.detach(), gamma) + 0 * y


class IgnoresSeverity(Shift):
    def at(self, severity):
        return self if severity else Shift(blend=0, noise=0)


class KeepsNoise(Shift):
    def at(self, severity):
        return rgmkit.Degradation.at(self, severity).with_noise(self.noise)


class OwnForward(Shift):
    def forward(self, x, *, generator=None):
        return self.A(x) + 0.05 * torch.randn_like(x)


class Grain(Noise):
    """Right: white noise of std .1."""

    def variance(self, Ax):
        return torch.full_like(Ax, 0.01)


class IgnoresTheGenerator(Grain):
    def sample(self, Ax, *, generator=None):
        return Ax + 0.1 * torch.randn(Ax.shape, generator=torch.Generator().manual_seed(0), dtype=Ax.dtype)


class DrawsGlobally(Grain):
    def sample(self, Ax, *, generator=None):
        return Ax + 0.1 * torch.randn_like(Ax)


class KnowsNoStreams(Grain):
    def sample(self, Ax, *, generator=None):
        return Ax + 0.1 * torch.randn(Ax.shape, generator=getattr(generator, "generators", [generator])[0]).to(Ax)


class StdAsVariance(Grain):
    def whiten(self, residual, Ax):
        return residual / self.variance(Ax)


class LouderThanItSays(Grain):
    def sample(self, Ax, *, generator=None):
        return Ax + 1.2 * (super().sample(Ax, generator=generator) - Ax)


class NoiseInPlace(Grain):
    def sample(self, Ax, *, generator=None):
        return Ax.add_(super().sample(torch.zeros_like(Ax), generator=generator))


class DoubleNoise(Grain):
    def variance(self, Ax):
        return torch.full(Ax.shape, 0.01, dtype=torch.float64)


class ShiftedStabiliser(Grain):
    def stabiliser(self):
        return Stabiliser(lambda y: y + 0.1, lambda z: z - 0.1, 0.1)


class ProvidesMore(toys.Grey):
    provides = frozenset({"value", "grad", "prox", "restore"})


class SharedValue(toys.Grey):
    def value(self, x):
        return super().value(x).sum().expand(len(x))


class IgnoresLevels(toys.Restorer):
    def _restore(self, y, level, z):
        return super()._restore(y, level[:1].expand(len(y)), z)


class RandomProx(toys.Grey):
    def prox(self, x, gamma, *, generator=None):
        return super().prox(x, gamma) + 1e-4 * torch.randn_like(x)


class CountsCalls(toys.Grey):
    calls = 0

    def value(self, x):
        self.calls += 1
        return super().value(x)


class HalfWeightInProx(toys.Grey):
    def prox(self, x, gamma, *, generator=None):
        return super().prox(x, gamma / 2)


class WrongGrad(toys.Grey):
    def grad(self, x):
        return 2 * super().grad(x)


class Error(rgmkit.Metric):
    """Right: the mean absolute error."""

    name, higher_is_better = "MAE", False

    def measure(self, x, truth):
        return (x - truth).abs().mean((1, 2, 3))


class Upside(Error):
    higher_is_better = True


class BatchMean(Error):
    def measure(self, x, truth):
        return (x - truth).abs().mean().expand(len(x))


class NumberAsUnit(Error):
    unit = 255


class WholeNumbers(Error):
    def measure(self, x, truth):
        return (100 * super().measure(x, truth)).int()


class FixedType(Error):
    def measure(self, x, truth):
        return super().measure(x @ torch.eye(x.shape[-1]), truth)


class ErrorInPlace(Error):
    def measure(self, x, truth):
        return x.sub_(truth).abs().mean((1, 2, 3))


class Hinge(rgmkit.Objective):
    """Right: the hinge loss."""

    def critic_loss(self, critic, pair, *, step):
        real, fake = critic(pair.real, pair.level), critic(pair.fake, pair.level)
        return (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()

    def restorer_loss(self, critic, pair):
        return -critic(pair.fake, pair.level).mean()


class WrongSign(Hinge):
    def restorer_loss(self, critic, pair):
        return critic(pair.fake, pair.level).mean()


class DetachedLoss(Hinge):
    def restorer_loss(self, critic, pair):
        return super().restorer_loss(critic, pair.detach())


class DetachedScores(Hinge):
    def critic_loss(self, critic, pair, *, step):
        return super().critic_loss(lambda x, level: critic(x, level).detach(), pair, step=step).requires_grad_()


class RandomLoss(Hinge):
    def restorer_loss(self, critic, pair):
        return super().restorer_loss(critic, pair) * torch.rand(())


class CountsSteps(Hinge):
    steps = 0

    def critic_loss(self, critic, pair, *, step):
        self.steps += 1
        return super().critic_loss(critic, pair, step=step)


class ConstantPriorLoss(PriorObjective):
    prior = "regulariser"

    def prior_loss(self, prior, x, *, generator):
        return prior.value(x).mean().detach().requires_grad_()


class Landweber(rgmkit.Solver):
    """Right: gradient descent on the fidelity."""

    def __init__(self, *, step: float = 0.5) -> None:
        self.step = step

    def _solve(self, problem, *, generator, callback):
        A, x = problem.degradation, problem.degradation.initial_estimate(problem.y)
        for i in range(20):
            x = x - self.step * A.adjoint(A.A(x) - problem.y)
            callback(i + 1, 20, x)
        return rgmkit.Solution(x)


class Ascends(Landweber):
    def __init__(self) -> None:
        super().__init__(step=-2.0)


class SharesStep(Landweber):
    def _solve(self, problem, *, generator, callback):
        solution = super()._solve(problem, generator=generator, callback=callback)
        return rgmkit.Solution(solution.x - 0.1 * (solution.x - solution.x.mean(0)))


class Undeclared(Landweber):
    needs_linear = False


class Silent(Landweber):
    def _solve(self, problem, *, generator, callback):
        return super()._solve(problem, generator=generator, callback=lambda *_: None)


class RandomSolver(Landweber):
    def _solve(self, problem, *, generator, callback):
        solution = super()._solve(problem, generator=generator, callback=callback)
        return rgmkit.Solution(solution.x + 1e-3 * torch.randn_like(solution.x))


class KeepsSolution(Landweber):
    def _solve(self, problem, *, generator, callback):
        self.last = super()._solve(problem, generator=generator, callback=callback)
        return self.last


class DimSolver(Landweber):
    generates = True

    def _solve(self, problem, *, generator, callback):
        if problem.y is None:
            return rgmkit.Solution(torch.full(problem.shape, 0.5))
        return super()._solve(problem, generator=generator, callback=callback)


WRONG = [
    Wrong(TwiceTheAdjoint(), "adjoint of another scale", "adjoint"),
    Wrong(NearlyTheAdjoint(), "adjoint of a scale of 1.000001", "adjoint"),
    Wrong(AdjointOfZeroMean(), "adjoint with an error of zero mean", "adjoint"),
    Wrong(AdjointAtTheBorder(), "adjoint that wraps round where A does not", "adjoint"),
    Wrong(Affine(), "A adds a constant", "linearity"),
    Wrong(Normalised(), "A divides by the maximum of the image", "linearity"),
    Wrong(CentredBatch(), "A subtracts a mean over the batch", "one_image_at_a_time"),
    Wrong(HiddenFloat32(), "A computes in float32", "dtypes"),
    Wrong(HiddenFloat32InProx(), "prox computes in float32", "dtypes"),
    Wrong(AlwaysDouble(), "A returns float64", "dtypes"),
    Wrong(StaysOnTheCPU(), "a tensor of A stays on the CPU", "devices"),
    Wrong(InPlace(), "A changes its argument", "purity"),
    Wrong(Remembers(), "A sets an attribute", "purity"),
    Wrong(DrawsInA(), "A draws a random mask", "purity"),
    Wrong(AddsNoiseInA(), "A adds noise", "randomness"),
    Wrong(WrongImageShape(), "`image_shape` holds for one size only", "shapes"),
    Wrong(NoImageShape(), "`image_shape` is missing", "shapes"),
    Wrong(NoEmbed(), "`embed` is missing", "shapes"),
    Wrong(ProxOfHalfGamma(), "prox of gamma / 2", "prox"),
    Wrong(ProxWithoutHalf(), "prox without the factor 1/2", "prox"),
    Wrong(ProxOfMeanGamma(), "prox with one gamma for all images", "prox_of_each_gamma"),
    Wrong(AdjointAsPinv(), "pinv is the adjoint", "pinv"),
    Wrong(DetachedProx(), "prox detaches y", "gradients"),
    Wrong(IgnoresSeverity(), "`at` ignores the severity", "severities"),
    Wrong(KeepsNoise(), "`at` keeps the noise", "severities"),
    Wrong(OwnForward(), "`forward` is overridden, and ignores the generator", "finals"),
    Wrong(IgnoresTheGenerator(), "noise that ignores the generator", "randomness"),
    Wrong(DrawsGlobally(), "noise from torch's global generator", "randomness"),
    Wrong(KnowsNoStreams(), "noise from one stream for all images", "one_image_at_a_time"),
    Wrong(LouderThanItSays(), "noise with more than its variance", "draws"),
    Wrong(NoiseInPlace(), "noise is added in place", "purity"),
    Wrong(DoubleNoise(), "noise in float64", "dtypes"),
    Wrong(ShiftedStabiliser(), "`stabiliser` does not keep 0 and 1", "stabilising"),
    Wrong(StdAsVariance(), "`whiten` divides by the variance", "whitening"),
    Wrong(HalfWeightInProx(), "prior: prox of half the weight", "prox_minimises"),
    Wrong(WrongGrad(), "prior: gradient of another scale", "gradient_of_value"),
    Wrong(ProvidesMore(), "prior: `provides` names what it has not", "capabilities"),
    Wrong(SharedValue(), "prior: value summed over the batch", "one_image_at_a_time"),
    Wrong(IgnoresLevels(), "prior: one level for all images", "restoring"),
    Wrong(RandomProx(), "prior: prox draws from torch's global generator", "randomness"),
    Wrong(CountsCalls(), "prior: sets an attribute", "purity"),
    Wrong(NumberAsUnit(), "metric: the unit is a number", "description"),
    Wrong(WholeNumbers(), "metric: whole numbers", "values"),
    Wrong(FixedType(), "metric: a tensor of a fixed type", "precision"),
    Wrong(ErrorInPlace(), "metric: changes the image", "purity"),
    Wrong(Upside(), "metric: `higher_is_better` is wrong", "order"),
    Wrong(BatchMean(), "metric: a mean over the batch", "one_image_at_a_time"),
    Wrong(WrongSign(), "objective: wrong sign", "direction"),
    Wrong(DetachedLoss(), "objective: the estimates are detached", "restorer_loss"),
    Wrong(DetachedScores(), "objective: the scores are detached", "critic_loss"),
    Wrong(RandomLoss(), "objective: draws from torch's global generator", "randomness"),
    Wrong(CountsSteps(), "objective: sets an attribute", "purity"),
    Wrong(ConstantPriorLoss(), "objective of a prior: the prior is detached", "prior_loss"),
    Wrong(Undeclared(), "solver: `needs_linear` is wrong", "refusals"),
    Wrong(DimSolver(), "solver: generates the same grey image always", "generation"),
    Wrong(Silent(), "solver: never calls the callback", "callbacks"),
    Wrong(RandomSolver(), "solver: draws from torch's global generator", "randomness"),
    Wrong(KeepsSolution(), "solver: sets an attribute", "purity"),
    Wrong(Ascends(), "solver: wrong sign of the step", "answer"),
    Wrong(SharesStep(), "solver: mixes the batch", "one_image_at_a_time"),
]

BUILT_IN = {
    "degradation": [
        "bayer:pattern=GRBG", "blur", "blur:kernel=motion", "blur:boundary=valid,std=0.7", "blur:boundary=circular",
        "blur:boundary=mirror,std=0.7", "blur:boundary=replicate,std=0.7",
        "compose:of=['blur:std=1', 'downsample:factor=2']", "deepinv.CompressedSensing:shape=[2,6,5],measurements=20",
        "deepinv.Demosaicing", "deepinv.MRI:shape=[12,8]", "deepinv.SinglePixel:shape=[2,8,16],measurements=20",
        "deepinv.Tomography:width=12,angles=8", "downsample", "downsample:filter=bicubic", "gaussian-noise",
        "grayscale", "inpaint", "inpaint:keep=0.5", "jpeg", "motion-blur:size=5",
    ],
    "noise": [
        "per-channel:std=[0.1,0.2,0.3]", "poisson:photons=30", "poisson-gaussian:photons=30,read=0.05",
        "white:std=0.1",
    ],
    "prior": [
        "deepinv.L1", "deepinv.MedianFilter", "deepinv.Tikhonov", "deepinv.TVL1", "tgv", "tikhonov",
        "tv", "wavelet", "wavelet:wavelet=haar,levels=2",
    ],
    "solver": [
        "admm", "back-projection", "cascade", "deepinv.DiffPIR", "deepinv.DPIR", "deepinv.DPS", "drs", "fista",
        "gauss-newton", "gradient-descent", "hqs", "langevin", "one-shot", "pgd", "pinv", "pnp-drs", "posterior",
    ],
    "process": ["gaussian", "multiscale", "severity:degradation='blur:std=1'"],
    "objective": [
        "adversarial-regulariser:degradation='blur:std=1,noise=0.05'", "dswd", "js", "kl", "mmd",
        "mmd:features=learned", "mmse", "relativistic", "uotm",
    ],
    "metric": ["psnr", "psnr-y", "ssim"],
}  # fmt: skip
SHAPES = {"deepinv.CompressedSensing": (2, 6, 5), "deepinv.SinglePixel": (2, 8, 16), "deepinv.Tomography": (2, 12, 12)}


def taps() -> torch.Tensor:
    return torch.tensor([[[[0.1, 0.2, 0.1], [0.0, 0.3, 0.1], [0.0, 0.1, 0.1]]]])


def draw(*shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(1), dtype=dtype)


def deepinv_operators() -> dict[str, Right]:
    """Operators of deepinv by name."""
    import deepinv.physics as P

    grey, colour, size = (1, 12, 8), (3, 12, 8), {"img_size": (1, 12, 8)}
    mask = (draw(12, 8) > 0).float()
    shape_kept = {"purity": "deepinv's operator keeps the shape of the last image"}
    return {
        "Blur, circular": Right(lambda: P.Blur(filter=taps(), padding="circular"), colour),
        "Blur, constant": Right(lambda: P.Blur(filter=taps(), padding="constant"), colour),
        "Blur, reflect": Right(lambda: P.Blur(filter=taps(), padding="reflect"), colour),
        "Blur, replicate": Right(lambda: P.Blur(filter=taps(), padding="replicate"), colour),
        "Blur, valid": Right(lambda: P.Blur(filter=taps(), padding="valid"), colour),
        "BlurFFT": Right(lambda: P.BlurFFT(filter=taps(), **size), grey),
        "CompressedSensing": Right(lambda: P.CompressedSensing(m=40, dtype=torch.float64, rng=seeded(5), **size), grey),
        "Decolorize": Right(P.Decolorize, colour),
        "Demosaicing": Right(lambda: P.Demosaicing(img_size=colour), colour),
        "Denoising": Right(P.Denoising, colour),
        "Downsampling": Right(lambda: P.Downsampling(factor=2, filter="gaussian", **size), grey, shape_kept),
        "Downsampling, bicubic": Right(lambda: P.Downsampling(factor=2, filter="bicubic", **size), grey, shape_kept),
        "DownsamplingMatlab": Right(lambda: P.DownsamplingMatlab(factor=2), grey),
        "HyperSpectralUnmixing": Right(lambda: P.HyperSpectralUnmixing(M=draw(4, 6).abs()), (4, 12, 8)),
        "Inpainting": Right(lambda: P.Inpainting(mask=mask[None], **size), grey),
        "LinearPhysics": Right(
            lambda: P.LinearPhysics(A=lambda x, **_: x.flip(-1), A_adjoint=lambda y, **_: y.flip(-1)), colour
        ),
        "MRI": Right(lambda: P.MRI(mask=mask, img_size=(2, 12, 8)), (2, 12, 8)),
        "MultiCoilMRI": Right(
            lambda: P.MultiCoilMRI(mask=mask, coil_maps=draw(1, 3, 12, 8, dtype=torch.cfloat), img_size=(2, 12, 8)),
            (2, 12, 8),
        ),
        "SinglePixelCamera": Right(lambda: P.SinglePixelCamera(m=30, img_size=(1, 8, 16), rng=seeded(6)), (1, 8, 16)),
        "SpaceVaryingBlur": Right(
            lambda: P.SpaceVaryingBlur(
                filters=draw(1, 1, 2, 3, 3).abs(), multipliers=draw(1, 1, 2, 12, 8).abs(), padding="circular"
            ),
            grey,
        ),
        "SpatialUnwrapping (not linear)": Right(lambda: P.SpatialUnwrapping(threshold=1.0), grey),
        "StructuredRandom": Right(
            lambda: P.StructuredRandom(img_size=(1, 12, 12), output_size=(1, 12, 12), rng=seeded(7)), (1, 12, 12)
        ),
        "Upsampling": Right(lambda: P.Upsampling(img_size=(1, 24, 16), factor=2, filter="bilinear"), grey, shape_kept),
        "a product of two": Right(
            lambda: P.Blur(filter=taps(), padding="circular") * P.Inpainting(mask=mask[None], **size), grey
        ),
    }


def make_right() -> dict[tuple[str, str], Right]:
    """All components that are right, by kind and name; those of deepinv are of the kind "operator of deepinv"."""
    found = {
        (kind, spec): Right(lambda kind=kind, spec=spec: build(kind, spec), SHAPES.get(spec.partition(":")[0]))
        for kind, specs in BUILT_IN.items()
        for spec in specs
    }
    for name, right in deepinv_operators().items():
        found["operator of deepinv", name] = right._replace(make=lambda make=right.make: wrap(make))
    return found


def wrap(make: Callable[[], Any]) -> rgmkit.Degradation:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deepinv's, about its own future
        return from_deepinv(make(), noise=0.05)


def describe_mistake(wrong: Wrong, results: list[Result]) -> str:
    """A row of the table of mistakes."""
    others = [result.check for result in results if result.outcome == "failed" and result.check != wrong.check]
    return f"| {wrong.mistake} | `{wrong.check}` | {', '.join(f'`{name}`' for name in others)} |"


def describe_right(kind: str, name: str, results: list[Result]) -> str:
    """A row of the table of what is right."""
    counts = [sum(result.outcome == outcome for result in results) for outcome in ("passed", "skipped")]
    expected = "; ".join(f"`{r.check}`: {r.cause}" for r in results if r.outcome == "expected failure")
    return f"| {kind} | {name.replace('|', ' ')} | {counts[0]} | {counts[1]} | {expected} |"


RIGHT = [Shift(), Grain(), toys.Grey(), Error(), Hinge(), Landweber()]
"""What the components with mistakes are made of."""
