"""Simulated ground and radar images with known truth: ndarray out, numpy, scipy and numba only.

`scene.parts` puts the pieces together. Each is usable alone: `plan` (where the mine lies), `ground` (cover and height),
`changes` and `pseudo` (what people and rain do to it), `projection` (from ground to radar geometry), `texture`,
`speckle`, `phase` and `targets` (what the radar sees).
"""
