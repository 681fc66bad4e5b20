"""Learning from labelled scenes: patches from the store, augmentation, training."""

from sarcd.optional import require

require("torch", "safetensors")  # before the modules of this package import them
