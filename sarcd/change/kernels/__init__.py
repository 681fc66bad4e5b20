"""Ratios, tests, thresholds and post-processing on plain arrays: numba, numpy and scipy, ndarray in, ndarray out."""
