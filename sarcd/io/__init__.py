"""Reading products, the scene store, and rasters out."""
