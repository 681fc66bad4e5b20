"""Training of networks on labelled scenes: patch datasets, augmentation, training loop, validation."""

from sarcd.optional import require

require("torch", "safetensors")  # checked before the modules of this package import them
