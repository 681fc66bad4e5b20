"""Where change begins in a difference image: fitted on a histogram or a sample, applied to any part of the scene."""
