"""What the result of a restoration shows: metrics, pictures to compare, uncertainty, and files to save."""

from __future__ import annotations

from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from rgmkit import images
from rgmkit.core.degradation import Degradation
from rgmkit.core.printable import show_option
from rgmkit.core.solver import Solution
from rgmkit.images import Picture
from rgmkit.images.formats import FORMATS
from rgmkit.lab import commands
from rgmkit.lab.jobs import Result
from rgmkit.lab.pictures import view_png
from rgmkit.lab.request import RestoreRequest
from rgmkit.resolve import resolve_metrics

COVERAGE = 0.8
FLOATS = 32  # bits
SHOWN_DRAWS = 8


def describe_solution(solution: Solution, degradation: Degradation) -> dict[str, Any]:
    """Return what a solution says of itself."""
    return {
        "nfe": solution.nfe, "seconds": solution.seconds, "solver": solution.solver, "prior": solution.prior,
        "degradation": repr(degradation), "noise": "" if solution.noise is None else show_option(solution.noise),
        "trace": [step["residual"] for step in solution.trace if "residual" in step],
    }  # fmt: skip


def compare(
    y: Tensor, x: Tensor, truth: Tensor, degradation: Degradation, device: torch.device
) -> list[dict[str, Any]]:
    """Apply the metrics to the measurement, in the shape of the image, and to the estimate."""
    with torch.no_grad():
        before = torch.cat([degradation.embed(frame[None].to(device)).cpu() for frame in y])
    rows = []
    for metric in resolve_metrics((), has_truth=True).values():
        values = [float(metric(each.cpu().clamp(0, 1), truth).mean()) for each in (before, x)]
        shown = [metric.info.format(value) for value in values]
        rows.append({"name": metric.name, "unit": metric.unit, "before": shown[0], "after": shown[1]})
    return rows


def add_pictures(result: Result, y: Tensor, solution: Solution, truth: Tensor | None) -> None:
    """Add the pictures that can be compared, and what is known of the uncertainty."""
    shown: list[tuple[str, str, Tensor, bool]] = [("measurement", "measurement", y, False)]
    shown.append(("estimate", "estimate" if solution.samples is None else "mean of the draws", solution.x, False))
    if truth is not None:
        shown.append(("truth", "true image", truth, False))
    if solution.std is not None and solution.samples is not None:
        largest = float(solution.std[:1].max())
        shown.append(("std", f"standard deviation, white is {largest:.3g}", solution.std, True))
        result.facts["std"] = {"mean": float(solution.std.mean()), "largest": float(solution.std.max())}
        shown += _list_interval(result, solution, truth)
        draws = solution.samples[:SHOWN_DRAWS]
        shown += [(f"draw{k}", f"draw {k}", draw, False) for k, draw in enumerate(draws, 1)]
    result.facts["pictures"] = []
    for key, title, x, stretch in shown:
        png = view_png(x, stretch=stretch)
        if png is not None:
            result.files[f"{key}.png"] = png
            result.facts["pictures"].append(describe_picture(key, title, f"{key}.png", x))


def _list_interval(result: Result, solution: Solution, truth: Tensor | None) -> list[tuple[str, str, Tensor, bool]]:
    """Record the credible interval that the number of draws allows, and return its ends as pictures."""
    count = len(solution.samples)
    if count < 2:
        return []
    coverage = min(COVERAGE, 1 - 2 / (count + 1))
    low, high = solution.interval(coverage)
    facts: dict[str, Any] = {"coverage": coverage, "width": float((high - low).mean())}
    if truth is not None:
        true = truth.to(low)
        facts["inside"] = float(((low <= true) & (true <= high)).float().mean())
    result.facts["interval"] = facts
    ends = f"of the {100 * coverage:.0f} % interval"
    return [("low", f"lower end {ends}", low, False), ("high", f"upper end {ends}", high, False)]


def describe_picture(key: str, title: str, file: str, x: Tensor) -> dict[str, Any]:
    """Describe a picture that the page can show."""
    return {"key": key, "title": title, "file": file, "height": x.shape[-2], "width": x.shape[-1]}


def add_files(result: Result, request: RestoreRequest, y: Tensor, solution: Solution, picture: Picture) -> str:
    """Add the files that can be saved; return the name of that of the estimate."""
    x = solution.x.cpu()
    ending = _choose_ending(request, x)
    out = commands.estimate_name(request, ending)
    files = {out: x}
    if request.simulate:
        files[commands.MEASUREMENT] = y
    if solution.std is not None and solution.samples is not None:
        files[f"{PurePath(out).stem}-std.npy"] = solution.std.cpu()
    like = Picture(x, bits=FLOATS) if request.simulate else picture  # as files that are made from the measurement are
    for name, values in files.items():
        result.files[name] = encode_file(name, values, like)
    own = [entry["file"] for entry in result.facts["pictures"]]
    result.facts["downloads"] = [name for name in result.files if name not in own]
    return out


def _choose_ending(request: RestoreRequest, x: Tensor) -> str:
    """Choose the format of the estimate: that of the picture if it stores it, else PNG, else .npy."""
    one = images.is_picture(x) and len(x) == 1
    given = PurePath(request.picture.name).suffix.lower()
    if not request.simulate and any(fmt.has_stacks and given in fmt.endings for fmt in FORMATS):
        return given if x.ndim == 4 and not x.is_complex() else ".npy"
    return ".png" if one else ".npy"


def encode_file(name: str, x: Tensor, like: Picture) -> bytes:
    """Return the bytes of a file of a picture or measurement."""
    with TemporaryDirectory(prefix="rgmkit-lab-") as folder:
        path = Path(folder) / name
        images.write_measurement(path, x, like=like)
        return path.read_bytes()
