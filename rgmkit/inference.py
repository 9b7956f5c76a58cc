"""Restore images from measurements with `restore`, and generate images from a trained network with `generate`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rgmkit.adapters import Checkpointed, fit_prior, note_lost_colours, relate_values, split_complex
from rgmkit.config import build
from rgmkit.core.bounds import check_integer
from rgmkit.core.degradation import Degradation
from rgmkit.core.prior import Prior, RestoringPrior
from rgmkit.core.random import GENERATING, RESTORING, Streams
from rgmkit.core.solver import Callback, Problem, Solution, Solver, shift_steps
from rgmkit.errors import ConfigError, DataError, IncompatibleError, PriorWarning
from rgmkit.images.array_layout import check_finite, unpack
from rgmkit.resolve import Given, resolve_degradation, resolve_noise, resolve_prior, resolve_solver
from rgmkit.runtime.memory import check_memory
from rgmkit.runtime.modules import evaluation_mode, to_device
from rgmkit.runtime.progress import follow_progress
from rgmkit.solvers.noise_groups import join_solutions, move_solution, solve_any_noise
from rgmkit.solvers.posterior import Posterior
from rgmkit.solvers.sampling import (
    check_samples,
    choose_batch_size,
    draw_samples,
    pack_solution,
    split_stack,
)

DENOISER = (
    "this network is a denoiser, trained with a mean squared error, and not made for generation: expect smooth "
    "averages; a network with many levels draws samples with the solver cascade:eta=1, or cascade:eta=0,levels=50"
)


def restore(
    y: Any,
    degradation: Degradation | Given,
    prior: Prior | Given | Path | None = None,
    *,
    solver: Solver | Given | None = None,
    range: tuple[float, float] | None = None,
    axes: str | None = None,
    seed: int = 0,
    samples: int | None = None,
    tile: int | None = None,
    callback: Callback | None = None,
    progress: bool = True,
    differentiable: bool = False,
) -> Solution:
    """Estimate the image x from a measurement y = A x + noise under a prior.

    `y` is a tensor `(C, H, W)` or `(B, C, H, W)`, or a NumPy array `(H, W)`, `(H, W, C)` or `(B, H, W, C)`, or
    has any other layout that `axes` names. A tensor `(B, d)` holds points or vectors. uint8 and uint16 cover [0, 1],
    floats are used as they are; `range` gives other values of black and white.
    The estimate `Solution.x` has the type, layout and range of `y`: whole numbers are rounded and clipped to those of
    the type, floats are not.
    A complex `y` is measured by an operator from real images to complex values, or from and to two channels, the real
    and the imaginary part (`deepinv.MRI`): then the estimate is complex, too.
    Without `axes`, the last of 2 or 4 channels of a NumPy array is taken for alpha and returned unchanged, with a
    `FutureWarning`: version 0.3 will restore it.

    Everything is computed on the device and in the precision of the prior's parameters; a prior without parameters
    uses those of `y`. The random numbers of image `i` of the batch depend on (seed, i) alone, and are independent of
    those of a measurement that was simulated from `Streams` with the same seed.

    Args:
        y: the measurement.
        degradation: an object, a name, or a spec such as "blur:std=2,noise=0.02". If a name or a spec gives no
            noise, its std is estimated from `y`, see `Solution.noise`.
        prior: an object, a name or spec such as "tv" or "tv:weight=6", the name of a shipped model, or
            a model folder, or a model on the hub, "hf:user/repo". None: no prior.
        solver: an object, a name or a spec. Default: `pnp-drs` with a network, `admm` with any other prior
            (`gradient-descent` if it has a gradient and no prox), the pseudo-inverse `pinv` without one; `gauss-newton`
            around these if the degradation is not linear; and `posterior` around all of these with a network and
            `samples`.
        range: the values of `y` and `Solution.x` that are 0 and 1 for the degradation and the prior, such as (0, 4095).
            The noise of the degradation remains relative to it: `noise=0.02` is 2 % of the range. For whole numbers of
            other types than uint8 and uint16 it has to be given.
        axes: a letter for each axis of `y`: Y rows, X columns, C channels or bands; Z (slices), T (times) and B hold
            images that are restored each on its own. All channels are restored.
        seed: of all random numbers that the solver draws.
        samples: how many restorations of each image to draw from the posterior. `Solution.x` is their mean, with the
            default solver and an even number the estimate without `samples`, or nearly so where photon noise is
            stabilised by a transform; `Solution.std` is the standard deviation of each pixel in floats, in units of
            [0, 1] or, if given, of `range`; `Solution.interval(0.8)` is an interval that should hold 80 % of the true
            values, and `Solution.samples` all draws along a new first axis. An explicit solver, other than
            `posterior`, is run as often, each time with other random numbers.
        tile: side in pixels of the square tiles that the network processes one at a time, without their overlap.
            Default: by the free memory. A network that declares no receptive field is tiled only if `tile` is given.
        callback: called as `callback(step, steps, x)` after each step, with `x` a batch of floats. If it has a method
            `tile`, this is called as `tile(done, count)` after each tile of a network evaluation.
        progress: whether to show a progress bar after two seconds, in a terminal or notebook, if there is no callback.
        differentiable: whether gradients flow from `Solution.x` to `y`, a tensor of floats, and to the parameters of
            the degradation, an object. What the solver determines beforehand (noise, norm of the operator, weights,
            steps) and the number of iterations count as constants. Memory: that of one network evaluation, since
            each is repeated for the gradient, and of some images for each iteration.

    Raises:
        DataError: if `y` has another type or number of axes, or holds NaN or infinite values.
        IncompatibleError: if measurement, degradation, prior and solver do not fit together.
        ConfigError, PluginError, CheckpointError: if a name, an option or a model folder is wrong.

    Warns:
        PriorWarning: if the degradation loses colours, as `grayscale` does, and the prior does not model them.
        RangeWarning: if floats without `range` do not look like the measurement of an image in [0, 1].

    >>> import numpy as np
    >>> y = np.full((16, 20), 128, dtype=np.uint8)
    >>> solution = restore(y, "gaussian-noise:noise=0.1", "tv")
    >>> solution.x.shape, solution.x.dtype
    ((16, 20), dtype('uint8'))
    >>> counts = np.full((5, 16, 20), 2000, dtype=np.uint16)
    >>> restore(counts, "gaussian-noise:noise=0.1", "tv", axes="ZYX", range=(0, 4095)).x.shape
    (5, 16, 20)
    """
    measured, degradation, prior = y, resolve_degradation(degradation), resolve_prior(prior)
    solver = resolve_solver(solver, prior, degradation, samples=samples)
    if differentiable:
        check_differentiable(y, degradation, prior, samples)
    dropped = () if differentiable else note_dropped_gradients(y, degradation)
    if dropped and getattr(y, "requires_grad", False):
        warnings.warn(dropped[0], UserWarning, stacklevel=2)
    y = y if differentiable or not isinstance(y, Tensor) else y.detach()
    batch, layout = unpack(y, name="y", axes=axes, range=range)
    device = prior.device or layout.device
    degradation = to_device(degradation, device)
    given, whole = layout.range if layout.range_given else None, not layout.dtype.is_floating_point
    with torch.set_grad_enabled(differentiable):
        batch, notes = relate_values(batch, degradation, given, whole=whole, device=device)
    batch, degradation, pairs = split_complex(batch, degradation, device)
    layout = replace(layout.for_image(complex=pairs), notes=dropped + layout.notes + notes)
    solution = restore_batch(
        batch, degradation, prior, solver, seed=seed, samples=samples, tile=tile, callback=callback, progress=progress,
        device=device, differentiable=differentiable,
    )  # fmt: skip
    solution = replace(solution, y=measured, degradation=repr(degradation), axes=axes, range=range)
    return pack_solution(solution, layout)


def restore_batch(
    y: Tensor,
    degradation: Degradation,
    prior: Prior,
    solver: Solver,
    *,
    seed: int = 0,
    samples: int | None = None,
    tile: int | None = None,
    callback: Callback | None = None,
    progress: bool = True,
    device: torch.device | None = None,
    differentiable: bool = False,
) -> Solution:
    """Restore a batch of floats, given a degradation, prior and solver as objects on one device; see `restore`.

    The images of a large stack are restored a few at a time. They are moved to `device` and back, if `y` is elsewhere.
    """
    check_samples(1 if samples is None else samples)
    image = degradation.image_shape((1, *y.shape[1:]))
    check_memory((samples or 1, *image[1:]), "restorations", device or y.device)
    if prior.dtype is not None and y.is_floating_point():
        y = y.to(prior.dtype)
    device = device or y.device
    if differentiable and isinstance(prior, RestoringPrior):
        prior = Checkpointed(prior)
    estimated: tuple[str, ...] = ()
    if solver.instead & prior.provides:  # the network takes the measurement as it is
        found = [([*range(len(y))], degradation.with_noise(None))]
    else:
        found, estimated = resolve_noise(degradation, y.detach(), solver, device=device)
    shape = degradation.image_shape(tuple(y.shape))[1:]
    groups, one = split_stack(found, shape, device), y[:1].to(device)
    images = max(len(rows) for rows, _ in groups)
    with follow_progress("restoring", callback, shown=progress) as follow:
        prior, adapted = fit_prior(
            prior, (images * (samples or 1), *shape), like=one, tile=tile, progress=getattr(follow, "tile", None)
        )
        problem = Problem.from_measurement(one, degradation, prior)
        for note in (lost := note_lost_colours(problem)):
            warnings.warn(note, PriorWarning, stacklevel=3)
        parts = []
        with evaluation_mode(prior):
            for i, (rows, known) in enumerate(groups):
                follow_part = shift_steps(follow, i, len(groups)) if len(groups) > 1 else follow
                part = _restore_rows(
                    y[rows].to(device), rows, known, prior, solver, seed, samples, follow_part, differentiable
                )
                parts.append(move_solution(replace(part, noise=known.noise), y.device))
    solution = join_solutions(parts, [rows for rows, _ in groups])
    return replace(solution, notes=estimated + adapted + lost + solution.notes, solver=repr(solver))


def _restore_rows(
    y: Tensor,
    rows: list[int],
    degradation: Degradation,
    prior: Prior,
    solver: Solver,
    seed: int,
    samples: int | None,
    callback: Callback | None,
    differentiable: bool,
) -> Solution:
    """Restore images of a batch, given their indices `rows` in it, with known noise."""

    def estimate(problem: Problem, callback: Callback | None) -> Solution:
        find = solver.estimate if isinstance(solver, Posterior) else solver.solve
        return find(problem, generator=Streams(seed, rows, purpose=RESTORING), callback=callback)

    def solve(problem: Problem, callback: Callback | None) -> Solution:
        streams = Streams(seed, rows, purpose=RESTORING)
        return solver.solve(problem, generator=streams, callback=callback, differentiable=differentiable)

    def draw(problem: Problem, callback: Callback | None) -> Solution:
        return draw_samples(solver, problem, samples or 1, seed=seed, callback=callback, images=rows)

    problem = Problem.from_measurement(y, degradation, prior)
    return solve_any_noise(problem, solve if samples is None else draw, estimate=estimate, callback=callback)


def check_differentiable(y: Any, degradation: Degradation, prior: Prior, samples: int | None) -> None:
    """Raise an IncompatibleError if gradients could not flow through `restore`."""
    if not isinstance(y, Tensor) or not y.is_floating_point():
        what = f"a tensor of {y.dtype}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
        raise IncompatibleError(f"y is {what}, through which no gradient flows: give a tensor of floats")
    if samples is not None:
        raise IncompatibleError("samples are drawn without gradients: leave out samples, or differentiable=True")
    if any(p.requires_grad and p.device != (prior.device or y.device) for p in degradation.parameters()):
        raise IncompatibleError(f"a parameter of {degradation.title} is on another device: move it to {prior.device}")


def note_dropped_gradients(y: Any, degradation: Degradation) -> tuple[str, ...]:
    """Return a note if `restore` was given values that require gradients, and does not keep them."""
    wanted = [y, *degradation.parameters()] if torch.is_grad_enabled() else []
    if not any(isinstance(each, Tensor) and each.requires_grad for each in wanted):
        return ()
    return ("gradients are not kept: give differentiable=True for them, or y.detach() if none are wanted",)


def generate(
    prior: Prior | Given | Path,
    n: int,
    *,
    solver: Solver | Given | None = None,
    seed: int = 0,
    shape: tuple[int, ...] | None = None,
    batch: int | None = None,
    images: Tensor | None = None,
    callback: Callback | None = None,
    progress: bool = True,
) -> Tensor:
    """Generate `n` images (n, C, H, W), clamped to [0, 1], or points (n, d), on the device of the prior.

    The random numbers of image `i` depend on (seed, i) alone. The same call gives the same bits; another batch size,
    or a larger `n`, gives the same first images up to the rounding of floats.

    Args:
        prior: a trained prior, the name of a shipped model, or the folder of a model.
        n: the number of images.
        solver: an object, a name or a spec. Default: `cascade`.
        seed: of all random numbers.
        shape: of one image, (C, H, W). Default: that of the training images.
        batch: number of images computed at a time. Default: see `choose_batch_size`.
        images: `n` images to start from in place of noise, degraded to a level that the solver names, as in
            "cascade:start=2": less changes the lower the level is.
        callback: called as `callback(step, steps, x)`, with steps counted over all batches.
        progress: as for `restore`.

    Raises:
        IncompatibleError: if the prior cannot generate images, or none of this shape, or the solver cannot start from
            images.
        DataError: if `images` are no finite floats.
        ConfigError, PluginError, CheckpointError: if an argument, a name or a model folder is wrong.

    >>> generate("digits", 3, seed=1).shape
    torch.Size([3, 1, 16, 16])
    """
    prior = resolve_prior(prior)
    if check_integer(n, "n") > 0:
        check_memory((n, *_check_shape(prior, shape)), "images", prior.device)
    with follow_progress("generating", callback, shown=progress) as follow:
        batches = list(
            generate_batches(
                prior, n, solver=solver, seed=seed, shape=shape, batch=batch, images=images, callback=follow
            )
        )
    if batches:
        return torch.cat(batches)
    return torch.empty(0, *_check_shape(prior, shape), device=prior.device)


def generate_batches(
    prior: Prior | Given | Path,
    n: int,
    *,
    solver: Solver | Given | None = None,
    seed: int = 0,
    shape: tuple[int, ...] | None = None,
    batch: int | None = None,
    start: int = 0,
    images: Tensor | None = None,
    callback: Callback | None = None,
) -> Iterator[Tensor]:
    """Generate the images `start` … `start + n - 1` of a seed, batch by batch; see `generate`.

    Wrong arguments raise at once, not at the first batch.
    """
    prior = resolve_prior(prior)
    method: Solver = build("solver", "cascade" if solver is None else solver)
    method.check(Problem(prior, (), images=images))
    if solver is None and not getattr(prior, "generative", True):
        warnings.warn(DENOISER, stacklevel=2)
    if images is not None:
        _check_images(images, n)
    image_shape = _check_shape(prior, shape if images is None else tuple(images.shape[1:]))
    size = choose_batch_size(image_shape, prior.device) if batch is None else check_integer(batch, "batch")
    if check_integer(n, "n") < 0 or size < 1 or check_integer(start, "start") < 0:
        raise ConfigError(f"n is {n}, batch {size} and start {start}: give 0, 1 and 0 or more")
    check_memory((min(n, size), *image_shape), "images of a batch", prior.device)
    starts = range(start, start + n, size)

    def generate_batch(i: int) -> Tensor:
        rows = range(starts[i], min(starts[i] + size, start + n))
        begin = None if images is None else images[rows.start - start : rows.stop - start].to(prior.device)
        problem = Problem(prior, (len(rows), *image_shape), images=begin)
        generator, follow = Streams(seed, rows, purpose=GENERATING), shift_steps(callback, i, len(starts))
        with evaluation_mode(prior):
            x = method.solve(problem, generator=generator, callback=follow).x
        return x.clamp(0, 1) if len(image_shape) == 3 else x

    return map(generate_batch, range(len(starts)))


def _check_images(images: Any, n: int) -> None:
    """Raise an error unless `images` is a tensor of n images to start from."""
    if not isinstance(images, Tensor) or not images.is_floating_point():
        what = f"a tensor of {images.dtype}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise DataError(f"images is {what}: give a tensor (n, C, H, W) of floats in [0, 1]")
    check_finite(images, "images")
    if len(images) != n:
        raise IncompatibleError(f"n is {n}, and there are {len(images)} images to start from: give as many")


def _check_shape(prior: Prior, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if shape is None:
        shape = getattr(prior, "image_shape", None)
        if shape is None:
            raise ConfigError("the shape of the training images is unknown: give shape=(C, H, W)")
        return tuple(shape)
    if not shape or min(check_integer(side, "shape") for side in shape) < 1:
        raise ConfigError(f"shape is {shape}: give (C, H, W), each 1 or more")
    prior.check_shape(shape)
    return tuple(shape)
