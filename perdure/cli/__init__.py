"""The `perdure` command: one file a noun; `main` puts them together, `entry` starts it."""
