"""The report of an experiment: one HTML file with tables, plots and pictures that needs nothing else."""

from rgmkit.experiments.report.page import write_report

__all__ = ["write_report"]
