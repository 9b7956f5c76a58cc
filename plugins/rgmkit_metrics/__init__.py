"""Metrics of image quality."""

from __future__ import annotations

from rgmkit import Component, hookimpl

PACKAGES = "rgmkit_metrics.other_packages"


@hookimpl
def rgmkit_components() -> list[Component]:
    """List the components of this plugin; their modules are imported when one is used."""
    return [
        Component("metric", "psnr", "rgmkit_metrics.psnr:PSNR", "Peak signal-to-noise ratio"),
        Component("metric", "psnr-y", "rgmkit_metrics.psnr:LumaPSNR", "PSNR of the luma of colour images"),
        Component("metric", "ssim", "rgmkit_metrics.ssim:SSIM", "Structural similarity"),
        Component("metric", "deepinv", f"{PACKAGES}:DeepinvMetric", "deepinv.NAME: a metric of deepinv"),
        Component("metric", "torchmetrics", f"{PACKAGES}:TorchMetric", "torchmetrics.NAME: a metric of torchmetrics"),
    ]
