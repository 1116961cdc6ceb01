"""``python -m tests``: format, lint, types, tests, in this order; ends at the first that fails.

Arguments go to pytest: ``python -m tests -k house``.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STEPS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("mypy", "--strict", "-p", "analyzer"),
    ("pytest",),
)


def main(arguments: list[str]) -> int:
    """Run every step in the project's folder and return the status of the first that fails, else 0."""
    for step in STEPS:
        command = [*step, *arguments] if step == STEPS[-1] else [*step]
        print(f"\n-- {' '.join(command)}", flush=True)
        status = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
