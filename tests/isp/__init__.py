"""Tests of `raw2logit.isp`."""
