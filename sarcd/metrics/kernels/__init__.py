"""Scores, curves and objects on plain arrays: numba, numpy and scipy, ndarray in and ndarray out."""
