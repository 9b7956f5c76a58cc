"""What the page has done: restorations and grids, with their pictures and numbers."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from rgmkit import images
from rgmkit.adapters import relate_values, split_complex
from rgmkit.config import build
from rgmkit.core.degradation import Degradation
from rgmkit.core.printable import show_option
from rgmkit.core.prior import Prior
from rgmkit.core.random import Streams
from rgmkit.core.solver import Solution
from rgmkit.errors import AccuracyWarning, IncompatibleError, PriorWarning, RgmkitError
from rgmkit.images import Picture
from rgmkit.images.formats import STACK_ENDINGS, find_format
from rgmkit.inference import generate, restore_batch
from rgmkit.lab import commands
from rgmkit.lab.jobs import Job, Result
from rgmkit.lab.pictures import read_upload, shrink, small_png, view_png, warnings_lock
from rgmkit.lab.request import Forms, GenerateRequest, RestoreRequest, find_form
from rgmkit.resolve import (
    resolve_degradation,
    resolve_metrics,
    resolve_prior,
    resolve_solver,
    usable_size,
)

COVERAGE = 0.8
FLOATS = 32  # bits
PREVIEW_EVERY = 0.7  # seconds between two pictures of the estimate so far
SHOWN_DRAWS = 8


class _Follow:
    """A solver callback that reports to a job; it ends the solver if the job was cancelled."""

    def __init__(self, job: Job) -> None:
        self.job, self.last = job, 0.0

    def __call__(self, step: int, steps: int, x: Tensor) -> None:
        self.job.report(step, steps)
        if time.monotonic() - self.last > PREVIEW_EVERY:
            self.job.preview, self.last = small_png(x), time.monotonic()

    def tile(self, done: int, count: int) -> None:
        """Report the tiles of a long step."""
        self.job.report(self.job.step, self.job.steps, f"tile {done} of {count}")


def restore_picture(request: RestoreRequest, job: Job, *, forms: Forms, device: torch.device, most: int) -> Result:
    """Restore the picture of a request, after degrading it if it is the true image."""
    with TemporaryDirectory(prefix="rgmkit-lab-") as folder, _collect_warnings() as said:
        request.files.folder = Path(folder)
        try:
            result = _restore(request, job, forms=forms, device=device, most=most)
        except RgmkitError as error:
            raise type(error)(_hide(str(error), folder)) from error
    notes = dict.fromkeys(_hide(note, folder) for note in (*result.facts["notes"], *said))
    result.facts |= {"notes": list(notes), "degradation": _hide(result.facts["degradation"], folder)}
    return result


def _restore(request: RestoreRequest, job: Job, *, forms: Forms, device: torch.device, most: int) -> Result:
    degradation = _build_degradation(request).to(device)
    prior = _build_prior(request, forms).to(device)
    solver = resolve_solver(request.solver, prior, degradation, samples=request.samples)
    picture = read_upload(request.picture, most=most, axes=request.axes, range=request.range)
    result = Result({"kind": "restore", "notes": list(picture.notes)})
    y, truth, size = picture.x, None, None
    if request.simulate:
        picture, size = _fit_truth(picture, degradation, request, result)
        truth = picture.x
        y = _degrade(truth, degradation, request.seed, job, device)
    job.report(0, 0)
    given, whole = (None, False) if request.simulate else (request.range, picture.bits < FLOATS)
    with torch.no_grad():
        measured, notes = relate_values(y, degradation, given, whole=whole, device=device)
    measured, degradation, _ = split_complex(measured, degradation, device)
    solution = restore_batch(
        measured, degradation, prior, solver, seed=request.seed, samples=request.samples, device=device,
        callback=_Follow(job),
    )  # fmt: skip
    result.facts["notes"] += [*notes, *solution.notes]
    result.facts |= _describe(solution, degradation)
    if truth is not None:
        result.facts["metrics"] = _compare(measured, solution.x, truth, degradation, device)
    _add_pictures(result, measured, solution, truth)
    out = _add_files(result, request, y, solution, picture)
    name = result.facts.pop("truth_name", request.picture.name)
    result.facts["commands"] = commands.restore_commands(request, truth=name, out=out, size=size)
    return result


def generate_images(request: GenerateRequest, job: Job, *, device: torch.device) -> Result:
    """Draw a grid of images from a model."""
    started = time.perf_counter()
    with _collect_warnings() as said:
        prior = resolve_prior(request.model).to(device)
        shape = getattr(prior, "image_shape", None)
        if shape is not None and len(shape) != 3:
            raise IncompatibleError("this is a model of points, and not of images: use `rgmkit generate`")
        x = generate(prior, request.count, solver=request.solver, seed=request.seed, callback=_Follow(job)).cpu()
    enlarge = max(1, 64 // max(x.shape[-2:]))
    sheet = images.make_sheet(x, enlarge=enlarge)
    png = view_png(sheet[None])
    assert png is not None
    facts = {
        "kind": "generate", "count": len(x), "shape": list(x.shape[1:]), "seconds": time.perf_counter() - started,
        "notes": list(said), "commands": commands.generate_commands(request, enlarge=enlarge),
        "pictures": [_entry("grid", "generated", "grid.png", sheet)], "downloads": ["generated.png"],
    }  # fmt: skip
    return Result(facts, {"grid.png": png, "generated.png": png})


def _describe(solution: Solution, degradation: Degradation) -> dict[str, Any]:
    return {
        "nfe": solution.nfe, "seconds": solution.seconds, "solver": solution.solver, "prior": solution.prior,
        "degradation": repr(degradation), "noise": "" if solution.noise is None else show_option(solution.noise),
        "trace": [step["residual"] for step in solution.trace if "residual" in step],
    }  # fmt: skip


def _hide(text: str, folder: str) -> str:
    """Leave the folder of uploaded files out of a text."""
    return text.replace(f"{folder}/", "").replace(folder, "")


def _build_degradation(request: RestoreRequest) -> Degradation:
    return resolve_degradation(
        request.degradation, noise=request.noise, simulate=request.simulate, folder=request.files.place
    )


def _build_prior(request: RestoreRequest, forms: Forms) -> Prior:
    """Build the prior; files are opened for models that the user named on the command line only."""
    if request.prior is None or find_form("prior", request.prior["use"], forms).get("model"):
        return resolve_prior(request.prior)
    return build("prior", request.prior, folder=request.files.place)


def _fit_truth(
    picture: Picture, degradation: Degradation, request: RestoreRequest, result: Result
) -> tuple[Picture, tuple[int, int] | None]:
    """Shrink and crop the true image; return it, and the size to which it is cropped, if it is."""
    if picture.x.ndim != 4 or picture.x.is_complex():
        raise IncompatibleError("this is not a picture: choose that it is a measurement")
    before = tuple(picture.x.shape[-2:])
    picture = shrink(picture, request.side)
    if tuple(picture.x.shape[-2:]) != before:
        height, width = picture.x.shape[-2:]
        name = f"{PurePath(request.picture.name).stem}-{width}x{height}.png"
        ending = name if images.is_picture(picture.x) and len(picture.x) == 1 else name.replace(".png", ".npy")
        result.facts["truth_name"] = ending
        result.facts["notes"].append(f"shrunk from {before[1]}x{before[0]} to {width}x{height} pixels")
        result.files[ending] = _write(ending, picture.x, picture)
    height, width = picture.x.shape[-2:]
    size = usable_size(degradation, tuple(picture.x.shape))
    if size == (height, width):
        return picture, None
    result.facts["notes"].append(
        f"cropped from {width}x{height} to {size[1]}x{size[0]}, a size that {degradation.title} can take"
    )
    return picture.crop(*size), size


def _degrade(truth: Tensor, degradation: Degradation, seed: int, job: Job, device: torch.device) -> Tensor:
    """Simulate the measurement, frame by frame."""
    parts = []
    with torch.no_grad():
        for i, frame in enumerate(truth):
            job.report(0, 0, "simulating the measurement")
            parts.append(degradation(frame[None].to(device), generator=Streams(seed, [i])).cpu())
    return torch.cat(parts)


def _compare(
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


def _add_pictures(result: Result, y: Tensor, solution: Solution, truth: Tensor | None) -> None:
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
            result.facts["pictures"].append(_entry(key, title, f"{key}.png", x))


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


def _entry(key: str, title: str, file: str, x: Tensor) -> dict[str, Any]:
    return {"key": key, "title": title, "file": file, "height": x.shape[-2], "width": x.shape[-1]}


def _add_files(result: Result, request: RestoreRequest, y: Tensor, solution: Solution, picture: Picture) -> str:
    """Add the files that can be saved; return the name of that of the estimate."""
    x = solution.x.cpu()
    ending = _choose_ending(request, x)
    out = commands.estimate_name(request, ending)
    files = {out: x}
    if request.simulate:
        files[commands.MEASUREMENT] = y
    if solution.std is not None and solution.samples is not None:
        files[f"{PurePath(out).stem}-std.npy"] = solution.std.cpu()
    for name, values in files.items():
        result.files[name] = _write(name, values, picture)
    own = [entry["file"] for entry in result.facts["pictures"]]
    result.facts["downloads"] = [name for name in result.files if name not in own]
    return out


def _choose_ending(request: RestoreRequest, x: Tensor) -> str:
    """Choose the format of the estimate: that of the picture if it stores it, else PNG, else .npy."""
    one = images.is_picture(x) and len(x) == 1
    given = PurePath(request.picture.name).suffix.lower()
    if not request.simulate and given in STACK_ENDINGS:
        return given if x.ndim == 4 and not x.is_complex() else ".npy"
    return ".png" if one else ".npy"


def _write(name: str, x: Tensor, like: Picture) -> bytes:
    """Return the bytes of a file of a picture or measurement."""
    with TemporaryDirectory(prefix="rgmkit-lab-") as folder:
        path = Path(folder) / name
        if like.x.shape != x.shape and not find_format(path).stores_floats:
            like = dataclasses.replace(like, alpha=None)
        images.write_measurement(path, x, like=like)
        return path.read_bytes()


@contextmanager
def _collect_warnings() -> Iterator[list[str]]:
    """Collect what is warned of in the block, once each, without what the notes of a solution say anyway."""
    found: list[str] = []

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        silent = (AccuracyWarning, PriorWarning, DeprecationWarning, FutureWarning)
        if not issubclass(category, silent) and str(message) not in found:
            found.append(str(message))

    manager = warnings.catch_warnings()
    with warnings_lock:
        manager.__enter__()
        warnings.simplefilter("always")
        warnings.showwarning = show
    try:
        yield found
    finally:
        with warnings_lock:
            manager.__exit__(None, None, None)
