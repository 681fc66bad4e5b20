"""Simulated ground and radar images with known truth: ndarray out, numpy, scipy and numba only.

`scene.parts` makes a scene part by part, and `part` puts the pieces of each together. Each is usable alone: `plan`
(where the mine lies), `forms` and `ground` (cover and height), `edits`, `changes` and `pseudo` (what people and rain do
to it), `projection` (from ground to radar geometry), `texture`, `speckle`, `phase` and `targets` (what the radar sees).
"""
