"""``python -m framekeep.cli``: the same as ``framekeep``."""

from framekeep.cli.app import main

main()
