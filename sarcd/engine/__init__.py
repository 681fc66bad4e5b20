"""Run the regions of a job: threads, clusters, memory."""
