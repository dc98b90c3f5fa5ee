"""Tests of raw2logit; the tree mirrors ``src/raw2logit``."""
