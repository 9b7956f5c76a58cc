"""How a solution is shown in a notebook, and saved."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import TYPE_CHECKING

from rgmkit import images
from rgmkit.core.printable import show_option
from rgmkit.errors import DataError
from rgmkit.images.formats import check_target
from rgmkit.images.picture import to_picture
from rgmkit.images.view import encode_views, make_view

if TYPE_CHECKING:
    import numpy as np

    from rgmkit.core.solver import Solution

LISTED = 4  # most noises that `repr` shows one by one


def describe_solution(solution: Solution) -> str:
    """Describe a solution: a line of facts, and one for each note."""
    noise = solution.noise
    x = f"{type(solution.x).__name__} {tuple(getattr(solution.x, 'shape', ()))}"
    facts = {"solver": solution.solver, "prior": solution.prior, "degradation": solution.degradation}
    facts["noise"] = "" if noise is None else show_option(noise)
    if isinstance(noise, tuple) and len(noise) > LISTED:
        facts["noise"] = f"<one for each of {len(noise)} images>"
    facts["samples"] = "" if solution.samples is None else str(len(solution.samples))
    parts = [f"x: {x}", f"nfe={solution.nfe}", f"seconds={solution.seconds:.3g}", f"trace: {len(solution.trace)} steps"]
    parts += [f"{name}={text}" for name, text in facts.items() if text]
    return "\n  note: ".join([f"Solution({', '.join(parts)})", *solution.notes])


def save_solution(solution: Solution, path: str | Path, *, overwrite: bool) -> images.Written:
    """Write the estimate to a file, see `Solution.save`."""
    path = Path(path)
    check_target(path)
    if path.exists() and not overwrite:
        raise DataError(f"{path} exists: give another name, or overwrite=True")
    picture = to_picture(solution.x, axes=solution.axes, range=solution.range)
    return images.write_measurement(path, picture.x, like=picture)


def make_views(solution: Solution) -> dict[str, np.ndarray]:
    """Make a view of each picture that a solution has, by its title."""
    axes, range = solution.axes, solution.range
    views = {
        "measurement": None if solution.y is None else make_view(solution.y, axes=axes, range=range),
        "estimate": make_view(solution.x, axes=axes, range=range),
    }
    if solution.std is not None:
        largest = float(to_picture(abs(solution.std), axes=axes).x[0].max())  # of the first image, as shown
        views[f"std, white is {largest:.3g}"] = make_view(abs(solution.std), axes=axes, stretch=True)
    return {title: view for title, view in views.items() if view is not None}


def plot_solution(solution: Solution) -> None:
    """Plot the pictures of a solution side by side."""
    import matplotlib.pyplot as plt

    views = make_views(solution)
    if not views:
        raise DataError(f"x has shape {tuple(solution.x.shape)} and is no picture: plot its values")
    _, panels = plt.subplots(1, len(views), squeeze=False, layout="constrained", figsize=(4 * len(views), 4))
    for panel, (title, view) in zip(panels[0], views.items(), strict=True):
        panel.imshow(view, cmap="gray", vmin=0, vmax=255)
        panel.set(title=title, xticks=[], yticks=[])
    plt.show()


def solution_png(solution: Solution) -> bytes | None:
    """Return a PNG of the pictures of a solution; None without any."""
    views = make_views(solution)
    return encode_views([*views.values()]) if views else None


def solution_html(solution: Solution) -> str:
    """Return the pictures of a solution, with their titles, and its facts as HTML."""
    figures = [
        f'<figure style="display: inline-block; margin: 4px"><img alt="{html.escape(title)}" src="data:image/png;'
        f'base64,{base64.b64encode(encode_views([view])).decode()}"><figcaption>{html.escape(title)}</figcaption>'
        f"</figure>"
        for title, view in make_views(solution).items()
    ]
    return f"{''.join(figures)}<pre>{html.escape(describe_solution(solution))}</pre>"
