"""Figures of scenes and their results."""
