"""Files of results for other programs."""
