"""Configuration: YAML and spec strings to specs, specs to objects checked against constructor signatures."""

from __future__ import annotations

from rgmkit.config.construct import build, degradation, make, prior, process, solver
from rgmkit.config.signature import Option, describe, options_of
from rgmkit.config.text import Spec, flow, override, parse_spec, parse_value, read_yaml, spec_text, take_plugins

__all__ = [
    "Option", "Spec", "build", "degradation", "describe", "flow", "make", "options_of", "override", "parse_spec",
    "parse_value", "prior", "process", "read_yaml", "solver", "spec_text", "take_plugins",
]  # fmt: skip
