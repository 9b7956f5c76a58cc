"""Build objects from specs: the signature of a constructor is the schema of its configuration."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rgmkit import plugins
from rgmkit.config.signature import Option, Place, check, describe, options_of
from rgmkit.config.text import Spec, parse_spec, read_spec
from rgmkit.errors import (
    ConfigError,
    PluginError,
    RgmkitError,
    describe_cause,
    describe_error,
    find_nearest,
    is_out_of_memory,
    show_value,
)
from rgmkit.plugins.component import BASES
from rgmkit.runtime.foreign_code import contain

if TYPE_CHECKING:
    from rgmkit.core.degradation import Degradation
    from rgmkit.core.metric import Metric
    from rgmkit.core.noise import Noise
    from rgmkit.core.prior import Prior
    from rgmkit.core.process import ForwardProcess
    from rgmkit.core.solver import Solver

T = TypeVar("T")


def build(kind: str, spec: Any, *, path: str | None = None, folder: Path | Place | None = None, **injected: Any) -> Any:
    """Build the component that `spec` names.

    Args:
        kind: degradation, noise, prior, solver, process, network, objective, bridge, data, metric, features or
            comparison.
        spec: a name, a spec string, a `Spec`, a mapping `{use: name, option: value, …}`, or an object of that
            kind, which is returned as it is.
        path: the place of the spec in the configuration, for error messages. Default: the kind.
        folder: what relative file paths in the options are relative to, or a function that places each file, see
            `Place`. Default: the working directory.
        injected: arguments that the caller supplies and users cannot set; each is passed to every
            constructor, nested ones too, that has a parameter of that name.

    Raises:
        ConfigError: for an unknown, missing or ill-typed option; the message has its path and the nearest valid name.
        PluginError: if no plugin provides a component of that name.

    >>> build("solver", {"use": "cascade"}).generates
    True
    """
    path = kind if path is None else path
    found = read_spec(spec)
    if found is None:
        return _check_object(kind, spec, path)
    found = split_name(kind, found)
    cls = plugins.load_class(kind, found.name)
    return make(cls, found.options, path=path, what=f"{kind} {found.name!r}", folder=folder, **injected)


def make(
    cls: type[T],
    options: Mapping[str, Any],
    *,
    path: str = "",
    what: str | None = None,
    folder: Path | Place | None = None,
    **injected: Any,
) -> T:
    """Call `cls(**options)`, with each option checked against the signature of the constructor; see `build`.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Run:
    ...     steps: int
    ...     rate: float = 1e-3
    >>> make(Run, {"steps": 10, "rate": 1})
    Run(steps=10, rate=1.0)
    """
    what = what or path or cls.__name__
    known, given = _check_options(cls, options, path, what, folder, injected)
    missing = [option for name, option in known.items() if option.required and name not in given]
    if missing:
        names = " and ".join(f"{_join(path, option.name)} ({describe(option.type)})" for option in missing)
        raise ConfigError(f"{what} needs {names}: give {'it' if len(missing) == 1 else 'them'}")
    try:
        with contain(path or what):
            return cls(**given)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}" if path else str(error)) from error
    except (RgmkitError, ImportError):
        raise
    except Exception as error:  # of a third party, on a value that it did not expect
        if is_out_of_memory(error):
            raise
        raise ConfigError(f"{path or what}: {describe_error(error)}") from error


def check_component(kind: str, spec: Any, *, folder: Path | Place | None = None) -> None:
    """Check the options of the component that `spec` names, without building it: others may be missing.

    Raises:
        ConfigError, PluginError: as `build`.

    >>> check_component("network", "mlp:width=8")
    """
    found = read_spec(spec)
    if found is not None:
        cls = plugins.load_class(kind, found.name)
        _check_options(cls, found.options, kind, f"{kind} {found.name!r}", folder, {})


def _check_options(
    cls: type, options: Any, path: str, what: str, folder: Path | Place | None, injected: Mapping[str, Any]
) -> tuple[dict[str, Option], dict[str, Any]]:
    """Return the options that a class knows, and the values for it: those that are injected, and `options`, checked."""
    if not isinstance(options, Mapping):
        raise ConfigError(f"{what} is {show_value(options)}: give a mapping of options")
    known = _read_options(cls, what)
    given = {name: value for name, value in injected.items() if name in known}
    valid = [name for name in known if name not in given]
    for name in options:
        if name not in valid:
            raise ConfigError(_describe_unknown(_join(path, name), name, valid, what))

    def nested(base: type, value: Any, path: str) -> Any:
        kind = _find_kind(base)
        if kind is None or not isinstance(value, (str, Spec, Mapping)):
            return NotImplemented
        made = build(kind, value, path=path, folder=folder, **injected)
        return made if isinstance(made, base) else NotImplemented

    for name, value in options.items():
        given[name] = check(value, known[name].type, _join(path, name), folder=folder, nested=nested)
    return known, given


def _read_options(cls: type, what: str) -> dict[str, Option]:
    try:
        with contain():
            return options_of(cls)
    except Exception as error:  # of annotations and defaults that are no ordinary objects
        raise PluginError(f"{what}: the options of {cls.__name__} cannot be read: {describe_cause(error)}") from error


def degradation(name: str, /, **options: Any) -> Degradation:
    """Build the degradation of that name: `y = A x + noise`.

    Raises:
        ConfigError: for an unknown, missing or ill-typed option.
        PluginError: if no plugin provides a degradation of that name.

    >>> import rgmkit
    >>> rgmkit.degradation("gaussian-noise", noise=0.1).noise
    0.1
    """
    return _build_named("degradation", name, options)


def noise(name: str, /, **options: Any) -> Noise:
    """Build the noise model of that name, for the `noise` of a degradation.

    Raises:
        ConfigError, PluginError: as `degradation`.

    >>> import rgmkit
    >>> rgmkit.degradation("blur", std=2, noise=rgmkit.noise("poisson", photons=30)).noise
    Poisson(photons=30)
    """
    return _build_named("noise", name, options)


def prior(name: str, /, **options: Any) -> Prior:
    """Build the prior of that name. For a trained model use `rgmkit.load`.

    Raises:
        ConfigError, PluginError: as `degradation`.
    """
    try:
        return _build_named("prior", name, options)
    except PluginError as error:
        raise PluginError(f"{error}; a trained model is loaded with rgmkit.load") from error


def solver(name: str, /, **options: Any) -> Solver:
    """Build the solver of that name.

    Raises:
        ConfigError, PluginError: as `degradation`.
    """
    return _build_named("solver", name, options)


def process(name: str, /, **options: Any) -> ForwardProcess:
    """Build the forward process of that name.

    Raises:
        ConfigError, PluginError: as `degradation`.
    """
    return _build_named("process", name, options)


def metric(name: str, /, **options: Any) -> Metric:
    """Build the metric of that name; call it with estimates and the true images, in [0, 1].

    Raises:
        ConfigError, PluginError: as `degradation`; or if a package or weights are missing.

    >>> import rgmkit
    >>> rgmkit.metric("psnr").unit
    'dB'
    """
    return _build_named("metric", name, options)


def split_name(kind: str, spec: Spec) -> Spec:
    """Read the metric `torchmetrics.NAME` as the component `torchmetrics` with the option `name`."""
    package, dot, name = spec.name.partition(".")
    known = {component.name for component in plugins.list_components(kind)}
    if kind != "metric" or not dot or spec.name in known or package not in known:
        return spec
    return Spec(package, {"name": name, "options": dict(spec.options)} if spec.options else {"name": name})


def _build_named(kind: str, name: str, options: Mapping[str, Any]) -> Any:
    spec = parse_spec(name)
    return build(kind, Spec(spec.name, {**spec.options, **options}))


def _check_object(kind: str, value: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        use, names = value.get("use"), ", ".join(map(plugins.address, plugins.list_components(kind)))
        raise ConfigError(f"{path}.use is {'missing' if use is None else repr(use)}: name a {kind}, one of {names}")
    if isinstance(value, pkgutil.resolve_name(BASES[kind])):
        return value
    plain = value is None or isinstance(value, (bool, int, float, list, tuple))
    words = repr(value) if plain else f"an object of class {type(value).__name__}"  # its repr may have many lines
    raise ConfigError(f"{path} is {words}: give a {kind}, its name, or a mapping with 'use: name'")


def _find_kind(base: type) -> str | None:
    """Find the kind of component that an annotation asks for, by the most derived of its base classes."""
    ancestors = [f"{cls.__module__}:{cls.__name__}" for cls in base.__mro__]
    kinds = {target: kind for kind, target in BASES.items()} | {"torch.nn.modules.module:Module": "network"}
    return next((kinds[name] for name in ancestors if name in kinds), None)


def _describe_unknown(where: str, name: str, valid: list[str], what: str) -> str:
    if not valid:
        return f"{where} is not an option of {what}, which has none"
    near = find_nearest(name, valid)
    hint = f": did you mean {near!r}?" if near else ""
    return f"{where} is not an option of {what}{hint} (its options are {', '.join(valid)})"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
