"""``raw2logit lab``: one verb a file."""
