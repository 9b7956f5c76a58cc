"""Names of version 0.1 that still work, each with a `DeprecationWarning`; this file goes with version 0.3."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
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

COMPONENTS = {("prior", "gan"): "network", ("prior", "deepinv.TGV"): "tgv"}
"""Components by their old names; model folders and grids have them, so that no warning is due."""

MODELS = {"photographs-colour": "photographs"}
"""Shipped models by their old names."""


def warn_renamed(old: str, new: str) -> None:
    """Warn that `old` is called `new` now."""
    warnings.warn(f"{old} is deprecated: use {new}", DeprecationWarning, stacklevel=3)


ALPHA_BY_COUNT = (
    "the last of 2 or 4 channels is taken for alpha and not restored, which version 0.3 will do; "
    'for bands give axes="YXC", and set the alpha of a transparent picture aside'
)


def warn_alpha_by_count() -> str:
    """Warn that the last of 2 or 4 channels of a NumPy array is taken for alpha; return the message."""
    warnings.warn(ALPHA_BY_COUNT, FutureWarning, stacklevel=4)
    return ALPHA_BY_COUNT


def current_model(name: str) -> str:
    """Return the name that a shipped model has now."""
    new = MODELS.get(name, name)
    if new != name:
        warn_renamed(f"the model {name!r}", repr(new))
    return new


def renamed_attributes(module: str, names: Mapping[str, str], otherwise: Callable[[str], Any] | None = None) -> Any:
    """Make the `__getattr__` of a module whose attributes have new names: `{old: new}` (PEP 562).

    `otherwise` is the `__getattr__` that it has for other names.
    """

    def get(name: str) -> Any:
        if name in names:
            warn_renamed(f"{module}.{name}", f"{module}.{names[name]}")
            return getattr(importlib.import_module(module), names[name])
        if otherwise is not None:
            return otherwise(name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return get


def moved_attributes(module: str, homes: Mapping[str, str], name: str) -> Any:
    """Return what `module` had under `name`, from its new module in `homes`; for the `__getattr__` of `module`."""
    if name not in homes:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    warn_renamed(f"{module}.{name}", f"{homes[name]}.{name}")
    return getattr(importlib.import_module(homes[name]), name)


def renamed_keyword(old: str, new: str) -> Callable[[F], F]:
    """Let a function take the keyword `old` for its parameter `new`.

    >>> @renamed_keyword("noise", "noise_std")
    ... def degrade(*, noise_std): return noise_std
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     degrade(noise=0.1)
    0.1
    """
    return functools.partial(_rename_keyword, old=old, new=new, given=old, passed=new)


def _rename_keyword(function: F, *, old: str, new: str, given: str, passed: str) -> F:
    """Pass the keyword `given` to `function` as `passed`: one is the `old` name, the other the `new` one."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if given in kwargs:
            if passed in kwargs:
                raise TypeError(f"{function.__qualname__} got both {new!r} and its old name {old!r}")
            warn_renamed(f"{function.__qualname__}({old}=…)", f"{new}=")
            kwargs[passed] = kwargs.pop(given)
        return function(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


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
    if isinstance(override, property):

        def read(self: Any) -> Any:
            warn_renamed(f"{cls.__qualname__}.{old}", new)
            return override.__get__(self)

        setattr(cls, new, property(read))


def accept_old_keyword(cls: type, method: str, old: str, new: str) -> None:
    """Let `cls`, which overrides `method` with the keyword `old`, be called with its new name."""
    function = vars(cls).get(method)
    if function is not None and old in (names := inspect.signature(function).parameters) and new not in names:
        setattr(cls, method, _rename_keyword(function, old=old, new=new, given=new, passed=old))


class _OldModules(MetaPathFinder, Loader):
    """Import a module of `MODULES`, or a submodule of one, under its new name."""

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, origin=new) if (new := _new_name(fullname)) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        if spec.name == "rgmkit.metrics":
            warn_renamed(spec.name, 'rgmkit.metric, as in rgmkit.metric("psnr")')
            return _make_metrics()
        warn_renamed(spec.name, str(spec.origin))
        module = importlib.import_module(str(spec.origin))
        if spec.name not in NAMES:
            return module
        extended = ModuleType(module.__name__, module.__doc__)
        vars(extended).update(vars(module))
        vars(extended).update({old: pkgutil.resolve_name(new) for old, new in NAMES[spec.name].items()})
        return extended

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do: the module was executed under its new name."""


def home(prior: Any) -> tuple[Any, Any]:
    """Return `prior.device` and `prior.dtype`, under the old name."""
    return prior.device, prior.dtype


def _make_metrics() -> ModuleType:
    """Make `rgmkit.metrics` of the components that its functions have become."""
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
