"""What tests run inside the isolated process instead of the analysis."""

import time
from typing import Any

from tests.triage import targets


def waits(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Take far too long."""
    time.sleep(60)
    return finds(path, options)


def finds(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Find something at once."""
    finding = targets.finding(title="looked at once", rule="some_rule", summary="", evidence=[])
    return {**targets.report(finding), "sessions": [], "logins": [], "accounts": [], "page": "<!doctype html><p>report"}
