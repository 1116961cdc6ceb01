"""A box for spare processes: bubblewrap's namespaces, in which there is no network, no home and nothing to write to.

What lies in the box: the system's libraries and programs (tshark among them), this Python and its packages, all read-only;
a /proc and /dev of its own; one folder for temporary files, under its own name. Captures come in as open files, so that
a child sees those it was given and no others. https://github.com/containers/bubblewrap
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/alternatives", "/etc/ld.so.cache",
    "/etc/ld.so.conf", "/etc/ld.so.conf.d",
)  # fmt: skip
SCRATCH = "/scratch"
"""What the folder for temporary files is called inside."""
TRIAL_S = 20.0
"""Longest time for a first, empty run on a busy machine."""


@functools.cache
def bubblewrap() -> str | None:
    """Return where bubblewrap is, if it is allowed to do its work here: containers often forbid it."""
    program = shutil.which("bwrap")
    if program is None:
        return None
    trial = boxed(program, [sys.executable, "-I", "-S", "-c", ""], [], None)
    try:
        done = subprocess.run(trial, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIAL_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return program if done.returncode == 0 else None


def boxed(program: str, command: Sequence[str], packages: Sequence[str], scratch: Path | None) -> list[str]:
    """Return the command that runs another one in a box.

    Args:
        program: The path of bubblewrap.
        command: What to run.
        packages: Folders that Python modules come from.
        scratch: The folder for temporary files; none when None.
    """
    words = [program, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--cap-drop", "ALL"]
    if os.geteuid() == 0:  # root reads files of others because it may; the ones it opened must open in the box as well
        words += ["--cap-add", "CAP_DAC_OVERRIDE"]
    for path in _shown(packages):
        words += ["--ro-bind-try", path, path]
    words += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]
    if scratch is not None:
        words += ["--bind", str(scratch), SCRATCH]
    return [*words, "--remount-ro", "/", "--chdir", "/", "--", *command]


def _shown(packages: Sequence[str]) -> Iterator[str]:
    """Yield the folders to show, outer before inner; never one that holds a home."""
    wanted = {*SYSTEM, sys.prefix, sys.base_prefix, sys.exec_prefix, *packages}
    home = Path.home()
    for path in sorted(wanted):
        if Path(path).exists() and not home.is_relative_to(path):
            yield path
