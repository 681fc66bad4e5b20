"""Ratios, tests, thresholds and clean-up, on plain arrays: numba, numpy and scipy, ndarray in and ndarray out."""
