"""Configuration: read YAML and specs, and build objects whose options are checked against constructor signatures."""

from __future__ import annotations

from rgmkit.config.construct import (
    build,
    check_component,
    degradation,
    make,
    metric,
    noise,
    prior,
    process,
    solver,
    split_name,
)
from rgmkit.config.signature import Option, Place, describe, is_integer, options_of
from rgmkit.config.text import (
    Spec,
    is_number,
    override,
    parse_spec,
    parse_value,
    read_spec,
    read_yaml,
    spec_text,
    take_plugins,
)
from rgmkit.config.yaml12 import YAMLError, dump_flow, dump_yaml, load_yaml

__all__ = [
    "Option", "Place", "Spec", "YAMLError", "build", "check_component", "degradation", "describe", "dump_flow",
    "dump_yaml", "is_integer", "is_number", "load_yaml", "make", "metric", "noise", "options_of", "override",
    "parse_spec", "parse_value", "prior", "process", "read_spec", "read_yaml", "solver", "spec_text", "split_name",
    "take_plugins",
]  # fmt: skip
