"""Where pixels lie on the ground, and how large they are there."""
