"""Whole jobs on a stored scene, one function a verb: region by region, resumed where they were stopped.

Networks are imported by the jobs that use them, when these are first asked for.
"""

import lazy_loader

from sarcd.engine.cluster import cluster
from sarcd.engine.run import JobResult
from sarcd.engine.tasks import Progress, silent

__getattr__, __dir__, _verbs = lazy_loader.attach_stub(__name__, __file__)
__all__ = [*_verbs, "JobResult", "Progress", "cluster", "silent"]  # noqa: PLE0604  names alone
