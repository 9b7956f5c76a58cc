"""Evaluate a model: `evaluate` compares generated images with real ones, and restores held-out images."""

from __future__ import annotations

from rgmkit.evaluation.model import evaluate
from rgmkit.evaluation.result import Evaluation

__all__ = ["Evaluation", "evaluate"]
