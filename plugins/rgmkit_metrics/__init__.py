"""Metrics of image quality."""

from __future__ import annotations

from rgmkit import Component, hookimpl

PACKAGES = "rgmkit_metrics.other_packages"
DISTANCES, NEIGHBOURS = "rgmkit_metrics.distances", "rgmkit_metrics.neighbours"


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the components of this plugin; their modules are imported when one is used."""
    return [
        Component("metric", "psnr", "rgmkit_metrics.psnr:PSNR", "Peak signal-to-noise ratio"),
        Component("metric", "psnr-y", "rgmkit_metrics.psnr:LumaPSNR", "PSNR of the luma of colour images"),
        Component("metric", "ssim", "rgmkit_metrics.ssim:SSIM", "Structural similarity"),
        Component("metric", "deepinv", f"{PACKAGES}:DeepinvMetric", "deepinv.NAME: a metric of deepinv"),
        Component("metric", "torchmetrics", f"{PACKAGES}:TorchMetric", "torchmetrics.NAME: a metric of torchmetrics"),
        Component("features", "classifier", "rgmkit_metrics.classifier:Classifier", "A small convolutional classifier"),
        Component("features", "inception", "rgmkit_metrics.inception:Inception", "Inception-v3, for FID and KID"),
        Component("comparison", "frechet", f"{DISTANCES}:Frechet", "Fréchet distance; FID with inception"),
        Component("comparison", "kernel", f"{DISTANCES}:Kernel", "Maximum mean discrepancy; KID with inception"),
        Component("comparison", "precision-recall", f"{NEIGHBOURS}:PrecisionRecall", "Precision and recall"),
        Component("comparison", "density-coverage", f"{NEIGHBOURS}:DensityCoverage", "Density and coverage"),
    ]
