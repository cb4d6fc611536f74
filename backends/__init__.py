"""Where blobs live: the storage contract, its plugins, and the suite that holds them to it.

Knows nothing of snapshots, servers or gRPC; imports neither `sidecar` nor `perdure`. Start reading
at `base.py`.
"""
