"""Whole jobs on a stored scene, region by region, resumed where they were stopped."""

from sarcd.engine.cluster import cluster
from sarcd.engine.run import JobResult
from sarcd.engine.tasks import Progress, silent
from sarcd.jobs.stored_coherence import write_coherence
from sarcd.jobs.stored_prediction import write_prediction
from sarcd.jobs.stored_statistics import write_statistics
from sarcd.jobs.stored_summary import write_summary

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
