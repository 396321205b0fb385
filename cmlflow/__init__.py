"""cmlflow: clustering of detector point clouds by metric learning."""

__version__ = "0.1.0"
