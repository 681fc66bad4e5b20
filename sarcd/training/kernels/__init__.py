"""Filling of holes and choice of pseudo-labels, on plain arrays: numba, numpy and scipy, ndarray in and ndarray out."""
