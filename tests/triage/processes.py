"""Looking for processes, in whatever namespace they are."""

import time
from collections.abc import Callable
from pathlib import Path


def running(mark: str) -> bool:
    """Whether a process has this word in its command, in whatever namespace."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words:
            return True
    return False


def soon(is_so: Callable[[], bool]) -> bool:
    """Whether something becomes so within some seconds."""
    for _ in range(200):
        if is_so():
            return True
        time.sleep(0.05)
    return False
