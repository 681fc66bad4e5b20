"""Scores of change maps against labels, and thresholds chosen by them."""

from sarcd.evaluate.options import Bootstrap, ObjectRules
from sarcd.evaluate.report import evaluate, report
from sarcd.evaluate.results import Report
from sarcd.evaluate.thresholds import ThresholdChoice, choose_threshold

__all__ = ["Bootstrap", "ObjectRules", "Report", "ThresholdChoice", "choose_threshold", "evaluate", "report"]
