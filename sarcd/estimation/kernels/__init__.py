"""Coherence, looks, bias and statistics of amplitude.

On plain arrays: numba, numpy and scipy, ndarray in and ndarray out.
"""
