"""mailscope: reads packet captures and says why mail logins were refused.

``analyzer.read("agent-*.pcapng").findings`` is the short way in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analyzer.analysis import Analysis, read
    from analyzer.comparison import Comparison, compare
    from analyzer.errors import AnalyzerError, CaptureError, EngineMissing, StoreError, UnknownFormat
    from analyzer.triage.cases import Cases, cases

__version__ = "0.1.0"

_PLACES = {
    "Analysis": "analyzer.analysis",
    "read": "analyzer.analysis",
    "Cases": "analyzer.triage.cases",
    "cases": "analyzer.triage.cases",
    "Comparison": "analyzer.comparison",
    "compare": "analyzer.comparison",
    "AnalyzerError": "analyzer.errors",
    "CaptureError": "analyzer.errors",
    "EngineMissing": "analyzer.errors",
    "StoreError": "analyzer.errors",
    "UnknownFormat": "analyzer.errors",
}

__all__ = [
    "Analysis",
    "AnalyzerError",
    "CaptureError",
    "Cases",
    "Comparison",
    "EngineMissing",
    "StoreError",
    "UnknownFormat",
    "__version__",
    "cases",
    "compare",
    "read",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562), so that importing the package costs next to nothing."""
    if name in _PLACES:
        from importlib import import_module

        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
