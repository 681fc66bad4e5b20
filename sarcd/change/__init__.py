"""Change without training: ratios, filters, thresholds, tests, summaries and clean-up; xarray in, lazy xarray out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
