"""Networks of others from their published weights files, as priors."""

from __future__ import annotations

from rgmkit.models.foreign.priors import describe_file, load_file

__all__ = ["describe_file", "load_file"]
