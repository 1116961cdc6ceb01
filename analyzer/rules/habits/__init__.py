"""One file per habit: what is worth a warning though it made nobody fail."""
