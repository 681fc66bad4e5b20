"""Thresholds on difference images, fitted to a histogram or a sample and applied to any part of the scene."""
