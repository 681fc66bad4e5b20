"""Coherence, looks, bias and amplitude statistics.

On plain arrays: numba, numpy and scipy, ndarray in and ndarray out.
"""
