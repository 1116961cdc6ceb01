"""A secret seen on the wire, of which only equality may ever be asked."""

from __future__ import annotations

import os
from typing import NoReturn

try:
    from _blake2 import blake2b  # hashlib would load OpenSSL, which takes as long as reading a small capture
except ImportError:  # pragma: no cover (another Python than CPython)
    from hashlib import blake2b

_KEY = os.urandom(32)  # drawn per process and never written anywhere, so digests mean nothing outside this run


class Secret:
    """A password, token or response reduced to a keyed digest the moment it is met.

    Two secrets compare equal when their octets were equal. There is no way back to the octets, and the object
    refuses to be pickled, so it cannot reach a store, a worker or a notebook file.
    """

    __slots__ = ("_digest",)

    def __init__(self, octets: bytes) -> None:
        self._digest = blake2b(octets, key=_KEY, digest_size=32).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret stays in the process that met it")
