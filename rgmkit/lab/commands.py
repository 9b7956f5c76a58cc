"""The command line and the Python that do what the page does."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from rgmkit.config import spec_text
from rgmkit.lab.request import GenerateRequest, RestoreRequest

MEASUREMENT = "measurement.npy"


def restore_commands(request: RestoreRequest, *, truth: str, out: str, size: tuple[int, int] | None) -> dict[str, str]:
    """Return the commands for a restoration.

    Args:
        request: of the page.
        truth: the file of the true image, if there is one.
        out: the file of the estimate.
        size: to which the true image is cropped, as the degradation needs it; None if it is not.
    """
    return {"shell": _restore_shell(request, truth, out), "python": _restore_python(request, truth, out, size)}


def _restore_shell(request: RestoreRequest, truth: str, out: str) -> str:
    degradation = ["-d", spec_text(request.degradation)]
    if request.noise is not None:
        degradation += ["--noise", _text(request.noise)]
    values = _flag("--axes", request.axes)
    if request.range is not None:
        values += [f"--range={','.join(str(end).removesuffix('.0') for end in request.range)}"]
    seed = ["--seed", str(request.seed)] if request.seed else []
    how = [*_flag("--prior", request.prior), *_flag("--solver", request.solver), *_flag("--samples", request.samples)]
    if not request.simulate:
        return _join(["rgmkit", "restore", request.picture.name, *degradation, *values, *how, *seed, "-o", out])
    degrade = ["rgmkit", "degrade", truth, *degradation, *seed, "-o", MEASUREMENT]
    restore = ["rgmkit", "restore", MEASUREMENT, *degradation, *how, *seed, "--truth", truth, "-o", out]
    return f"{_join(degrade)}\n{_join(restore)}"


def _restore_python(request: RestoreRequest, truth: str, out: str, size: tuple[int, int] | None) -> str:
    options: dict[str, Any] = {
        "solver": _spec(request.solver),
        "seed": request.seed or None,
        "samples": request.samples,
    }
    prior = repr(_spec(request.prior))
    if request.simulate:
        crop = f"[..., :{size[0]}, :{size[1]}]" if size else ""
        lines = [
            "import rgmkit",
            "",
            f"truth = rgmkit.read({truth!r}).x{crop}",
            f"degradation = {_call('degradation', request.degradation, request.noise)}",
            f"y = degradation(truth, generator=rgmkit.Streams({request.seed}, [0]))",
            f"solution = rgmkit.restore(y, degradation, {_arguments(prior, options)})",
            'print(rgmkit.metric("psnr")(solution.x.clamp(0, 1), truth))',
        ]
    else:
        name, like = request.picture.name, request.range or request.axes
        reader = f"rgmkit.read({name!r}).x"
        if like or name.endswith(".npy"):
            reader = f"np.load({name!r})" if name.endswith(".npy") else f"skimage.io.imread({name!r})"
        package = {"np": "import numpy as np\n", "sk": "import skimage.io\n"}.get(reader[:2], "")
        degradation = repr(spec_text(request.degradation))
        if request.noise is not None:
            degradation = _call("degradation", request.degradation, request.noise)
        options |= {"axes": request.axes, "range": request.range}
        lines = [
            f"{package}import rgmkit",
            "",
            f"y = {reader}",
            f"solution = rgmkit.restore(y, {degradation}, {_arguments(prior, options)})",
        ]
    return "\n".join([*lines, f"solution.save({out!r})"])


def generate_commands(request: GenerateRequest, *, enlarge: int) -> dict[str, str]:
    """Return the commands for images drawn from a model, whose pixels are enlarged on the sheet."""
    model, seed = spec_text(request.model), request.seed
    shell = ["rgmkit", "generate", model, "-n", str(request.count), "--seed", str(seed)]
    options = {"solver": _spec(request.solver), "seed": seed}
    python = [
        "import rgmkit",
        "from rgmkit.images import make_sheet",
        "",
        f"images = rgmkit.generate({model!r}, {_arguments(str(request.count), options)})",
        f'rgmkit.write("generated.png", make_sheet(images, enlarge={enlarge}))',
    ]
    return {
        "shell": _join([*shell, *_flag("--solver", request.solver), "-o", "generated.png"]),
        "python": "\n".join(python),
    }


def estimate_name(request: RestoreRequest, ending: str) -> str:
    """Name the file of the estimate after that of the picture."""
    return f"{PurePath(request.picture.name).stem}-restored{ending}"


def _call(kind: str, component: Mapping[str, Any], noise: Any = None) -> str:
    """Write the call that builds a component."""
    options = {name: repr(value) for name, value in component.items() if name != "use"}
    if noise is not None:
        options["noise"] = _call("noise", noise) if isinstance(noise, Mapping) else repr(noise)
    arguments = [repr(component["use"]), *(f"{name}={value}" for name, value in options.items())]
    return f"rgmkit.{kind}({', '.join(arguments)})"


def _arguments(first: str, options: Mapping[str, Any]) -> str:
    return ", ".join([first, *(f"{name}={value!r}" for name, value in options.items() if value is not None)])


def _spec(component: Mapping[str, Any] | None) -> str | None:
    return None if component is None else spec_text(component)


def _text(noise: Any) -> str:
    return spec_text(noise) if isinstance(noise, Mapping) else str(noise)


def _flag(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    return [name, spec_text(value) if isinstance(value, Mapping) else str(value)]


def _join(words: list[str]) -> str:
    return " ".join(map(shlex.quote, words))
