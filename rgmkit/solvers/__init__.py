"""rgmkit's own solvers, one short file each, and all built-in solvers as classes, such as `rgmkit.solvers.ADMM`."""

from rgmkit.plugins.classes import attach

__getattr__, __dir__ = attach(__name__, "solver")
