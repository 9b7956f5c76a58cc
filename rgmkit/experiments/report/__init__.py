"""The report of an experiment: one self-contained HTML file with tables, plots and pictures."""

from rgmkit.experiments.report.page import write_report

__all__ = ["write_report"]
