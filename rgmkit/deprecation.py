"""Names of version 0.1 that still work, each with a `DeprecationWarning`; this file goes with version 0.3."""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

MODULES = {
    "rgmkit.arguments": "rgmkit.resolve",
    "rgmkit.card": "rgmkit.models.model_card",
    "rgmkit.convert": "rgmkit.models.published",
    "rgmkit.demo": "rgmkit.cli.demo.main",
    "rgmkit.device": "rgmkit.runtime.device",
    "rgmkit.experiment": "rgmkit.experiments",
    "rgmkit.files": "rgmkit.runtime.files",
    "rgmkit.layout": "rgmkit.images.array_layout",
    "rgmkit.metrics": "rgmkit.metric",
    "rgmkit.model_spec": "rgmkit.resolve",
    "rgmkit.precision": "rgmkit.runtime.precision",
    "rgmkit.progress": "rgmkit.runtime.progress",
    "rgmkit.sampling": "rgmkit.solvers.sampling",
    "rgmkit_deepinv.filters": "rgmkit_deepinv.plug_and_play",
    "rgmkit_deepinv.optimisers": "rgmkit_deepinv.posterior_sampling",
    "rgmkit_deepinv.priors": "rgmkit_deepinv.explicit",
    "rgmkit_deepinv.solvers": "rgmkit_deepinv.splitting",
    "rgmkit_deepinv.variations": "rgmkit_deepinv.total_variation",
}
"""Modules by their old names."""

NAMES = {
    "rgmkit.arguments": {
        "as_degradation": "rgmkit.resolve:resolve_degradation",
        "as_prior": "rgmkit.resolve:resolve_prior",
        "evaluating": "rgmkit.runtime.modules:evaluation_mode",
        "home": "rgmkit.deprecation:home",
        "moved": "rgmkit.runtime.modules:to_device",
    },
    "rgmkit_deepinv.priors": {
        "TV": "rgmkit_deepinv.total_variation:TV",
        "Tikhonov": "rgmkit_deepinv.pixelwise:Tikhonov",
    },
    "rgmkit_deepinv.variations": {"L1": "rgmkit_deepinv.pixelwise:L1"},
}
"""What an old module has beyond its new one, by its old name."""

COMPONENTS = {("prior", "gan"): "network"}
"""Components by their old names; model folders have them, so that no warning is due."""


def warn_renamed(old: str, new: str, *, stacklevel: int = 3) -> None:
    """Warn that `old` is called `new` now."""
    warnings.warn(f"{old} is deprecated: use {new}", DeprecationWarning, stacklevel=stacklevel)


def renamed_attributes(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a module whose attributes have new names: `{old: new}` (PEP 562)."""

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_renamed(f"{module}.{name}", f"{module}.{names[name]}")
        return getattr(importlib.import_module(module), names[name])

    return get


def renamed_keyword(old: str, new: str) -> Callable[[F], F]:
    """Let a function take the keyword `old` for its parameter `new`.

    >>> @renamed_keyword("noise", "noise_std")
    ... def degrade(*, noise_std): return noise_std
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     degrade(noise=0.1)
    0.1
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if old in kwargs:
                if new in kwargs:
                    raise TypeError(f"{function.__qualname__} got both {new!r} and its old name {old!r}")
                warn_renamed(f"{function.__qualname__}({old}=…)", f"{new}=")
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    return decorate


class RenamedAttribute:
    """An attribute or a method of a class by its old name; `new` is its name now.

    >>> class Prior:
    ...     level_std = 0.1
    ...     noise = RenamedAttribute("level_std")
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     Prior().noise
    0.1
    """

    def __init__(self, new: str) -> None:
        self.old, self.new = "", new

    def __set_name__(self, owner: type, name: str) -> None:
        self.old = f"{owner.__name__}.{name}"

    def __get__(self, instance: Any, owner: type) -> Any:
        warn_renamed(self.old, self.new)
        return getattr(owner if instance is None else instance, self.new)


def accept_old_property(cls: type, old: str, new: str) -> None:
    """Let `cls`, which overrides a property under its `old` name, be asked under its new one."""
    override = vars(cls).get(old)
    if not isinstance(override, property) or override.fget is None:
        return
    get = override.fget

    def read(self: Any) -> Any:
        warn_renamed(f"{cls.__qualname__}.{old}", new)
        return get(self)

    setattr(cls, new, property(read))


def accept_old_keyword(cls: type, method: str, old: str, new: str) -> None:
    """Let `cls`, which overrides `method` with the keyword `old`, be called with its new name."""
    function = vars(cls).get(method)
    if function is None or old not in (names := inspect.signature(function).parameters) or new in names:
        return

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if new in kwargs:
            warn_renamed(f"{cls.__qualname__}.{method}({old}=…)", f"{new}=")
            kwargs[old] = kwargs.pop(new)
        return function(*args, **kwargs)

    setattr(cls, method, wrapper)


class _OldModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import a module of `MODULES`, or a submodule of one, under its new name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(fullname, self) if _new_name(fullname) else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        new = _new_name(spec.name)
        assert new is not None  # or find_spec had not answered
        if spec.name == "rgmkit.metrics":
            return _old_metrics()
        warn_renamed(spec.name, new, stacklevel=2)
        target = importlib.import_module(new)
        return _with_old_names(target, NAMES[spec.name]) if spec.name in NAMES else target

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do: the module was executed under its new name."""


def _with_old_names(target: ModuleType, names: dict[str, str]) -> ModuleType:
    """Make a module of all that `target` has, and of `names`, given as "module:name"."""
    module = ModuleType(target.__name__, target.__doc__)
    vars(module).update(vars(target))
    for old, new in names.items():
        where, _, name = new.partition(":")
        setattr(module, old, getattr(importlib.import_module(where), name))
    return module


def home(prior: Any) -> tuple[Any, Any]:
    """Return `prior.device` and `prior.dtype`, under the old name."""
    return prior.device, prior.dtype


def _old_metrics() -> ModuleType:
    """Make `rgmkit.metrics` of the components that its functions have become."""
    warn_renamed("rgmkit.metrics", 'rgmkit.metric, as in rgmkit.metric("psnr")', stacklevel=3)
    metric = importlib.import_module("rgmkit").metric
    named = {name: metric(name) for name in ("psnr", "ssim")}
    module = ModuleType("rgmkit.metrics")
    vars(module).update(named, metric=metric, METRICS=named)
    return module


def _new_name(fullname: str) -> str | None:
    for old, new in MODULES.items():
        if fullname == old or fullname.startswith(f"{old}."):
            return new + fullname[len(old) :]
    return None


def install() -> None:
    """Let `import` find the old modules, once."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OldModules())  # before the finder of files, which would load submodules a second time
