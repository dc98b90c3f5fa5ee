"""Figures and the self-contained HTML report of a run.

`figures` turns numbers and views into matplotlib figures, `html` puts figures, tables and plain
sentences into one file that opens anywhere; `synthesis` and `training` write a run's folder.
"""
