"""Figures of scenes and results."""
