"""Scores of change maps against labels, and thresholds chosen by them."""

from sarcd.evaluate.options import Bootstrap, ObjectRules
from sarcd.evaluate.report import Report, evaluate, report

__all__ = ["Bootstrap", "ObjectRules", "Report", "evaluate", "report"]
