"""The control plane: snapshots, schedules, retention, restores and what they stand on.

Imports run one way: rpc -> use cases -> catalogue and storage -> model and errors. Only
`sidecar.app` composes everything; nothing imports it.
"""
