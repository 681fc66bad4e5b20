"""Ingest images, labels and dates from files into a scene."""
