"""Jobs on a stored scene, one function per operation, computed region by region and resumable.

A job is imported on first use, and with it the networks that it needs.
"""

import lazy_loader

from sarcd.engine.cluster import cluster
from sarcd.engine.run import JobResult
from sarcd.engine.tasks import Progress, silent

__getattr__, __dir__, _verbs = lazy_loader.attach_stub(__name__, __file__)
__all__ = [*_verbs, "JobResult", "Progress", "cluster", "silent"]  # noqa: PLE0604  all are names
