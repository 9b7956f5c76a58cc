"""The built-in priors as classes, whose options editors and type checkers know."""

from rgmkit.plugins.classes import attach

__getattr__, __dir__ = attach(__name__, "prior")
