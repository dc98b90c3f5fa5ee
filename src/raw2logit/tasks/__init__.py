"""Task models and their training, pipeline and model together in one Lightning module."""
