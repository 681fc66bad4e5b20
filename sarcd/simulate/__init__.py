"""Simulated ground and radar images with known truth: ndarray out, numpy and scipy only.

`scene.simulate` puts the parts together. Each part is usable alone: `landcover` (the ground), `changes` (what people
and rain do to it), `speckle` and `texture` (what the radar sees), `terrain` and `targets` (slopes and point targets).
"""
