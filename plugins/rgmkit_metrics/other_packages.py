"""Metrics of deepinv and torchmetrics, by their names there."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from rgmkit.core.metric import Metric
from rgmkit.errors import ConfigError, IncompatibleError, describe_cause, is_out_of_memory, suggest
from rgmkit_metrics.ssim import as_double

LONGEST = 14  # letters of a name in tables; longer names are abbreviated


class PackageMetric(Metric):
    """A metric of another package.

    Args:
        name: of its class, or its initials: `torchmetrics.LPIPS` is LearnedPerceptualImagePatchSimilarity.
        options: of its constructor.

    Raises:
        ConfigError: if there is no such metric, or a package or weights that it needs are missing.
    """

    package: ClassVar[str]
    module: ClassVar[str]
    defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, *, name: str, options: Mapping[str, Any] | None = None) -> None:
        cls = self._find(name)
        self.name = cls.__name__ if len(cls.__name__) <= LONGEST else _initials(cls.__name__)
        title, known = f"{self.package}.{self.name}", inspect.signature(cls).parameters
        given = {key: value for key, value in self.defaults.items() if key in known} | dict(options or {})
        try:
            self._metric = cls(**given)
        except ImportError as error:
            raise ConfigError(f"{title} needs a package that is not installed: {error}") from error
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{title}: {error}") from error
        except Exception as error:  # packages raise various errors when a download fails
            raise ConfigError(f"{title} needs weights that could not be downloaded: {error}") from error

    def measure(self, x: Tensor, truth: Tensor | None) -> Tensor:
        """Measure each image on its own: some metrics would average over a batch; in float64 without a network.

        Raises:
            IncompatibleError: if the metric raises an error for such images.
        """
        self._metric.to(x.device)
        given = [images for images in (x, truth) if images is not None]
        if next(self._metric.parameters(), None) is None:
            with contextlib.suppress(RuntimeError, TypeError, ValueError):  # some take float32 alone
                return self._measure(*map(as_double, given)).to(x)
        try:
            return self._measure(*(images.float() for images in given)).to(x)
        except Exception as error:  # packages raise various errors
            if is_out_of_memory(error):
                raise
            raise IncompatibleError(
                f"{self.package}.{self.name} cannot measure images of shape {tuple(x.shape[1:])}: "
                f"{describe_cause(error)}"
            ) from error

    @torch.no_grad()
    def _measure(self, *given: Tensor) -> Tensor:
        pairs = zip(*(images.split(1) for images in given), strict=True)
        return torch.stack([torch.as_tensor(self._metric(*pair)).reshape(()) for pair in pairs])

    @abstractmethod
    def _takes_images(self, cls: type) -> bool:
        """Whether a class of the package measures single images."""

    def _find(self, name: str) -> type:
        module = importlib.import_module(self.module)
        classes = {key: cls for key, cls in vars(module).items() if inspect.isclass(cls) and self._takes_images(cls)}
        initials = Counter(map(_initials, classes))
        short = {_initials(key): cls for key, cls in classes.items() if initials[_initials(key)] == 1}
        by_name = {key.lower(): cls for key, cls in (short | classes).items()}
        if name.lower() not in by_name:
            raise ConfigError(f"{self.package} has no metric {name!r} of single images: {suggest(name, classes)}")
        return by_name[name.lower()]


def _initials(name: str) -> str:
    """Abbreviate the name of a class.

    >>> _initials("LearnedPerceptualImagePatchSimilarity")
    'LPIPS'
    """
    return "".join(letter for letter in name if letter.isupper())


class DeepinvMetric(PackageMetric):
    """A metric of deepinv: deepinv.LPIPS, deepinv.NIQE, deepinv.MAE …

    LPIPS, NIQE, BRISQUE and NIMA download weights the first time. NIQE, BRISQUE, NIMA, BlurStrength and SharpnessIndex
    need no truth.
    """

    package, module = "deepinv", "deepinv.loss.metric"

    def __init__(self, *, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name=name, options=options)
        self.higher_is_better = not self._metric.lower_better
        self.needs_truth = "x" in inspect.signature(type(self._metric).metric).parameters

    def _takes_images(self, cls: Any) -> bool:
        from deepinv.loss.metric import Metric as Base

        return issubclass(cls, Base) and cls is not Base and "physics" not in inspect.signature(cls.metric).parameters


class TorchMetric(PackageMetric):
    """A metric of torchmetrics.image: torchmetrics.LPIPS, torchmetrics.VisualInformationFidelity …

    LearnedPerceptualImagePatchSimilarity (LPIPS) downloads weights the first time, and takes images of three channels.
    """

    package, module = "torchmetrics", "torchmetrics.image"
    defaults: ClassVar[Mapping[str, Any]] = {"data_range": 1.0}

    def __init__(self, *, name: str, options: Mapping[str, Any] | None = None) -> None:
        normalised = {"normalize": True} if name.lower() in ("lpips", "learnedperceptualimagepatchsimilarity") else {}
        super().__init__(name=name, options={**normalised, **(options or {})})  # LPIPS works in [-1, 1]
        self.higher_is_better = bool(self._metric.higher_is_better)
        self.needs_truth = len(inspect.signature(self._metric.update).parameters) > 1

    def _takes_images(self, cls: Any) -> bool:
        names = list(inspect.signature(cls.update).parameters)[1:] if hasattr(cls, "update") else []
        return names in (["preds", "target"], ["img1", "img2"], ["img"])
