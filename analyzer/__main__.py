"""python -m analyzer: the same as the command mailscope."""

from analyzer.start import run

run()
