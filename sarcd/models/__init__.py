"""Model files, their cards, and the pretrained models."""
