"""python -m analyzer: the same as the command mailscope."""

from analyzer.cli import main

main()
