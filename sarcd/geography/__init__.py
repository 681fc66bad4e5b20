"""Georeference of scenes, and lengths and areas on the ground."""
