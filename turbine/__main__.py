"""``python -m turbine``: the command line."""

from turbine.cli import main

main()
