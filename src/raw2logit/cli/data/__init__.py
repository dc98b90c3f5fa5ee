"""``raw2logit data``: one verb a file."""
