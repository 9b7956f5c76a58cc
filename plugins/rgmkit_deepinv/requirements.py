"""Packages that a component needs beyond rgmkit's own dependencies."""

from __future__ import annotations

from importlib.util import find_spec

from rgmkit.errors import ConfigError


def require(package: str, component: str, command: str) -> None:
    """Raise a ConfigError that names component, package and pip command unless the package is installed."""
    if find_spec(package) is None:
        raise ConfigError(f"{component} needs the package {package}, which is not installed: {command}")
