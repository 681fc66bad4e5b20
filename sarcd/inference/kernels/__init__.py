"""The rim of no-data, on plain arrays: numba, numpy and scipy, ndarray in and ndarray out."""
