"""Shared by the speed benchmarks: timing two sides alternately, the machine, and the peak of its convolutions."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rgmkit.core.random import seeded


def parser(description: str | None, *, batch: int, times: int) -> argparse.ArgumentParser:
    """Make a parser with the options of all speed benchmarks."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--network", default="ncsnpp", help="a network for images: NAME or NAME:option=value,…")
    made.add_argument("--size", type=int, default=32, help="side of the images in pixels")
    made.add_argument("--batch", type=int, default=batch)
    made.add_argument("--threads", type=int, default=torch.get_num_threads())
    made.add_argument("--times", type=int, default=times, help="measurements of each side")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--device", default="cpu")
    made.add_argument("--compile", action="store_true", help="compile the network of rgmkit's side")
    made.add_argument("--json", type=Path)
    return made


def alternately(a: Callable[[], Any], b: Callable[[], Any], times: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each call of A B A B …, after one untimed call of both."""
    a(), b()
    seconds: tuple[list[float], list[float]] = [], []
    for i in range(2 * times):
        start = time.perf_counter()
        (a, b)[i % 2]()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds[i % 2].append(time.perf_counter() - start)
    return seconds


def flops(call: Callable[[], Any]) -> float:
    """Count the operations of convolutions, matrix products and attention, two for each product and sum."""
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def peak(dtype: torch.dtype, device: str, *, batch: int = 16, times: int = 7) -> float:
    """Return the operations per second of the fastest of a few 3x3 convolutions, channels last."""
    best = 0.0
    for channels, side in ((128, 32), (256, 16)):
        layout: dict[str, Any] = {"dtype": dtype, "device": device, "memory_format": torch.channels_last}
        convolve = nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(**layout)
        x = torch.randn(batch, channels, side, side, generator=seeded(0)).to(**layout)
        with torch.no_grad():
            seconds, _ = alternately(lambda: convolve(x), lambda: None, times)  # noqa: B023 - called here
        best = max(best, 2 * 9 * channels * x.numel() / min(seconds))
    return best


def awake(network: nn.Module, seed: int) -> None:
    """Add noise to the weights, so that the layers that start near zero count, too."""
    generator = seeded(seed)
    with torch.no_grad():
        for weight in network.parameters():
            scale = 0.3 / max(1, weight[0].numel()) ** 0.5 if weight.ndim > 1 else 0.01
            weight += scale * torch.randn(weight.shape, generator=generator)


def relative(x: Tensor, exact: Tensor) -> float:
    """Return `|x - exact| / |exact|`."""
    return float((x - exact).norm() / exact.norm())


def report(title: str, given: argparse.Namespace, seconds: tuple[list[float], list[float]], **figures: Any) -> None:
    """Print the two sides and their ratio, and write everything as JSON.

    `figures` has `images`, the number of images of one measurement, and `flops`, the operations of rgmkit's side.
    """
    medians = [statistics.median(side) for side in seconds]
    half = peak(torch.bfloat16, given.device, batch=given.batch)
    rates = [figures["images"] / median for median in medians]
    share = figures["flops"] / medians[1] / half
    print(f"{title}, batch {given.batch}, {given.threads} threads, seed {given.seed}")
    print(f"{'':<12}{'seconds':>10}{'least':>10}{'images/s':>11}")
    for name, median, side, rate in zip(("published", "rgmkit"), medians, seconds, rates, strict=True):
        print(f"{name:<12}{median:>10.3f}{min(side):>10.3f}{rate:>11.2f}")
    print(f"ratio {medians[0] / medians[1]:.2f}; rgmkit at {share:.0%} of the bf16 peak of {half / 1e9:.0f} GFLOP/s")
    extra = {key: value for key, value in figures.items() if key not in ("images", "flops")}
    for key, value in extra.items():
        print(f"{key}: {value:.3g}" if isinstance(value, float) else f"{key}: {value}")
    if given.json:
        options = {key: value for key, value in vars(given).items() if key != "json"}
        content = {
            "benchmark": title, "machine": machine(given.device), "options": options, "ratio": medians[0] / medians[1],
            "images_per_second": rates, "median_seconds": medians, "seconds": seconds, "peak_bf16_flops": half,
            "share_of_peak": share, **figures,
        }  # fmt: skip
        given.json.write_text(json.dumps(content, indent=2))


def machine(device: str = "cpu") -> dict[str, Any]:
    """Describe the machine of the measurements."""
    return {
        "platform": platform.platform(), "processor": _processor(device), "cores": os.cpu_count(),
        "torch": torch.__version__, "load": os.getloadavg(),
    }  # fmt: skip


def _processor(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.processor())
