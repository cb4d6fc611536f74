"""Perdure's client side: what a user imports, over the generated stubs in `perdure.control`.

Imports nothing of the server (`sidecar`, `backends`), so that a client can be installed alone.
"""
