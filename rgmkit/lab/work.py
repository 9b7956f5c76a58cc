"""What the page has done: restorations and grids, with their pictures and numbers."""

from __future__ import annotations

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
from rgmkit.core.prior import Prior
from rgmkit.core.random import Streams
from rgmkit.errors import AccuracyWarning, IncompatibleError, PriorWarning, RgmkitError
from rgmkit.images import Picture
from rgmkit.inference import generate, restore_batch
from rgmkit.lab import commands
from rgmkit.lab.jobs import Job, Result
from rgmkit.lab.pictures import read_upload, shrink, small_png, view_png, warnings_lock
from rgmkit.lab.request import Forms, GenerateRequest, RestoreRequest, find_form
from rgmkit.lab.results import (
    FLOATS,
    add_files,
    add_pictures,
    compare,
    describe_picture,
    describe_solution,
    encode_file,
)
from rgmkit.resolve import (
    resolve_degradation,
    resolve_prior,
    resolve_solver,
    usable_size,
)

PREVIEW_EVERY = 0.7  # seconds between two pictures of the estimate so far


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
        truth, size = _fit_truth(picture, degradation, request, result)
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
    result.facts |= describe_solution(solution, degradation)
    if truth is not None:
        result.facts["metrics"] = compare(measured, solution.x, truth, degradation, device)
    add_pictures(result, measured, solution, truth)
    out = add_files(result, request, y, solution, picture)
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
        "pictures": [describe_picture("grid", "generated", "grid.png", sheet)], "downloads": ["generated.png"],
    }  # fmt: skip
    return Result(facts, {"grid.png": png, "generated.png": png})


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
) -> tuple[Tensor, tuple[int, int] | None]:
    """Take the first frame as the true image, shrink and crop it; return it, and the size to which it is cropped."""
    if not images.is_picture(picture.x):
        raise IncompatibleError("this is not a grey or colour picture: choose that it is a measurement")
    notes, stem = result.facts["notes"], PurePath(request.picture.name).stem
    frame = Picture(picture.x[:1])
    shrunk = shrink(frame, request.side).x
    (before, after) = (f"{x.shape[-1]}x{x.shape[-2]}" for x in (frame.x, shrunk))
    name = f"{stem}-{after}.png" if after != before else f"{stem}-1.npy"  # what is shrunk has 8 bits
    if after != before or len(picture.x) > 1:
        result.facts["truth_name"] = name
        result.files[name] = encode_file(name, shrunk, frame)
    if len(picture.x) > 1:
        notes.append(f"the first of {len(picture.x)} frames")
    if after != before:
        notes.append(f"shrunk from {before} to {after} pixels")
    size = usable_size(degradation, tuple(shrunk.shape))
    if size == tuple(shrunk.shape[-2:]):
        return shrunk, None
    notes.append(f"cropped from {after} to {size[1]}x{size[0]}, a size that {degradation.title} can take")
    return shrunk[..., : size[0], : size[1]], size


def _degrade(truth: Tensor, degradation: Degradation, seed: int, job: Job, device: torch.device) -> Tensor:
    """Simulate the measurement."""
    job.report(0, 0, "simulating the measurement")
    with torch.no_grad():
        return degradation(truth.to(device), generator=Streams(seed, [0])).cpu()


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
