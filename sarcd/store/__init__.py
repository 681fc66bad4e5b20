"""Scenes on disk: created, appended to, published, read and checked."""
