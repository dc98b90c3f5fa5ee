"""The drift controls. Now: synthesis."""
