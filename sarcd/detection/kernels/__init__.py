"""Features of pairs of amplitude images, on plain arrays: numba, numpy and scipy, ndarray in and ndarray out."""
