"""Simulated scenes of open-pit mines with known truth."""
