"""The features of Inception-v3 that FID and KID are defined by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, final

import torch
from torch import Tensor

from rgmkit.core.features import Features
from rgmkit.errors import ConfigError
from rgmkit.images.array_layout import quantise
from rgmkit.runtime.extras import require

FILE = "weights-inception-2015-12-05-6726825d.pth"
REMEDY = f"give inception:weights=FILE, with the file {FILE} of torch-fidelity, or choose other features"


@final
class Inception(Features):
    """The 2,048 features of Inception-v3, by torch-fidelity, as in the FID of papers; needs `rgmkit[fid]`.

    Args:
        weights: the file of the weights. Default: downloaded the first time.

    Raises:
        ConfigError: if torch-fidelity or the weights are missing.
    """

    channels = (3,)
    metric_names: ClassVar[Mapping[str, str]] = {"Fréchet": "FID", "kernel": "KID"}

    def __init__(self, *, weights: Path | None = None) -> None:
        super().__init__()
        require("torch_fidelity", "the feature network inception", otherwise=REMEDY)
        from torchmetrics.image.fid import NoTrainInceptionV3  # takes seconds to import

        try:
            self.network = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights) if weights else None)
        except Exception as error:  # downloads and damaged files raise various errors
            what = f"{weights} cannot be read" if weights else "they could not be downloaded"
            raise ConfigError(f"the features of Inception need their weights, and {what}: {REMEDY}") from error

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, (B, 2048), of images rounded to 8 bits, which the network enlarges to 299x299."""
        features: Tensor = self.network(quantise(x, torch.uint8))
        return features
