"""From files of others to a scene: images, labels, dates."""
