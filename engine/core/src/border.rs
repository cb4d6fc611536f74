//! The one door for the control plane: start, stop, cut, verify, load beside, commit, stats, config.
//! Every call returns at once; completion arrives through `events`. R5 owns this file; the JSON shapes are `sidecar/_engine.pyi`.
