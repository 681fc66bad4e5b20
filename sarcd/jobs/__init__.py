"""Whole jobs on a stored scene, region by region, resumed where they were stopped."""

from sarcd.io.progress import Progress, silent
from sarcd.jobs._cluster import cluster
from sarcd.jobs._run import JobResult
from sarcd.jobs.coherence import write_coherence
from sarcd.jobs.prediction import write_prediction
from sarcd.jobs.statistics import write_statistics
from sarcd.jobs.summary import write_summary

__all__ = [
    "JobResult",
    "Progress",
    "cluster",
    "silent",
    "write_coherence",
    "write_prediction",
    "write_statistics",
    "write_summary",
]
