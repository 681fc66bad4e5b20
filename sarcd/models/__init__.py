"""Model files, model cards and pretrained models."""
