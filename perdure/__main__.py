"""`python -m perdure` is the `perdure` command."""

from perdure.cli.entry import main

main()
