"""One rule per file; each file's doc string is the rule's manual page."""
