"""Learning from labelled scenes: patches from the store, augmentation, training."""
