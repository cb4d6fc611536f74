"""Stubs of `proto/perdure/data/v1`, written by `proto/generate.py`; never edited by hand."""
