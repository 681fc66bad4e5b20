"""Scenes on disk: creating, extending, publishing, reading and checking them."""
