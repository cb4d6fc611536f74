"""Stubs of `proto/perdure/control/v1`, written by `proto/generate.py`; never edited by hand."""
