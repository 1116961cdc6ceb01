"""Many captures: each analysed in a process of its own, every input answered, the same incident grouped."""
