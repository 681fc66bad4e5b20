"""Export results to files for other programs."""
