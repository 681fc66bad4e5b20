"""Scores of change maps against labels, and thresholds chosen from labels."""

from sarcd.metrics.results import Bootstrap, ObjectRules, Report
from sarcd.metrics.scoring import evaluate, report
from sarcd.metrics.thresholds import ThresholdChoice, choose_threshold

__all__ = ["Bootstrap", "ObjectRules", "Report", "ThresholdChoice", "choose_threshold", "evaluate", "report"]
