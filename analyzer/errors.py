"""The errors a person may meet, each with what they can do now.

    AnalyzerError                .hint
      CaptureError               .path .offset
        UnknownFormat            names the first octets and the formats we read
        PasswordNeeded           an encrypted archive or file
        EngineMissing            names the program, how to install it, what works without it
      RuleError                  .path of a bad signature, rule or remedy
      OutputError                .path that could not be written
      StoreError                 a store of cases that cannot be opened or used

Octets from the network never raise: they become ``Lost`` or ``Malformed`` events. A damaged capture never raises after
its first packet: reading stops there and the report says so.
"""

from __future__ import annotations

from pathlib import Path


class AnalyzerError(Exception):
    """Something the person can act on; ``hint`` says how."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(hint)  # shown below the message in a traceback, as in a notebook


class CaptureError(AnalyzerError):
    """A capture that could not be read at all."""

    def __init__(self, message: str, *, path: Path | str, offset: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = Path(path)
        self.offset = offset
        self.sha256: str | None = None
        """Of a member of an archive, where its octets could be had."""


class UnknownFormat(CaptureError):
    """The first octets belong to no capture format we read."""

    foreign = False
    """Whether it may be one that tshark reads."""


class PasswordNeeded(CaptureError):
    """The file, or a member of an archive, is encrypted."""


class EngineMissing(CaptureError):
    """An outside program that was asked for is not installed."""


class RuleError(AnalyzerError):
    """A signature, rule or remedy that is not well formed."""

    def __init__(self, message: str, *, path: Path | str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = Path(path)


class OutputError(AnalyzerError):
    """A result that could not be written where it was asked for."""

    def __init__(self, message: str, *, path: Path | str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = Path(path)


class StoreError(AnalyzerError):
    """A store of cases that cannot be opened or used."""
