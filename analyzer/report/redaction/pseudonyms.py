r"""Pseudonyms: the same name becomes the same other name of the same length, by a key that is not in the output.

Letters and digits change, what stands between them stays, so that ``CONTOSO\mail`` and ``mail@contoso.example`` still are one
account. Within one length no two names become one: each place is shifted by a keyed digest (HMAC-SHA-256) of all the others,
which can be undone only with the key. Secrets become a digest of themselves: equal ones stay equal, and nothing else does.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from functools import cache, lru_cache
from pathlib import Path

from analyzer.errors import AnalyzerError

KEY_ROUNDS = 100_000
"""Rounds that make one guess at a typed key cost some 50 ms."""
CACHE_SIZE = 65_536
"""Names remembered; each costs some 30 microseconds to make."""
RUN_LIMIT = 64
"""Letters of one word that are exchanged as described; longer ones, which are no names, are digested as secrets are."""
NUMBER_DIGITS = 6
"""Digits of the longest number that is kept in a server's text: codes and limits are short, telephone numbers are not."""

_LETTERS, _DIGITS, _HEX = "abcdefghijklmnopqrstuvwxyz0123456789", "0123456789", "0123456789abcdef"
_SAFE = frozenset("@.\\/-_+$ =,:;'\"<>()[]")
"""What may stand between the words of a name and stays."""
_WIDE = ((0x80, 0x250, 96), (0x800, 0x4E00, 512), (0x10000, 0x20000, 512))
"""From a character on (as long in UTF-8, and without capitals): what takes its place, and how many there are."""
_SECRET_LETTERS = (_LETTERS + _LETTERS[:26].upper()).encode()
_RUN = re.compile(r"[A-Za-z0-9]+")
_OTHER = re.compile(r"[^A-Za-z0-9]")
# Words of a text: what holds an @, dotted names, addresses of IPv6, then runs of letters and digits
_WORD = re.compile(
    r"[^\s@<>()\[\]:,;\"]*@[^\s@<>()\[\]:,;\"]+|(?:[0-9A-Fa-f]{0,4}:){2,}[0-9A-Fa-f]{0,4}"
    r"|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+|[A-Za-z0-9]+"
)
_DOTTED_WORDS = frozenset({"storedrv.clientsubmit"})
"""Dotted words that are no host's name."""
_LONG_NUMBER = re.compile(r"(?<![A-Za-z0-9])[0-9]{4,}(?![A-Za-z0-9])")  # codes are shorter
_QUAD = re.compile(r"\d+(?:\.\d+){3,}")
_NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+)*")


@cache
def vocabulary() -> frozenset[str]:
    """Return the words that any mail server says, in lower case."""
    lines = Path(__file__).with_name("vocabulary.txt").read_text("utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


class Pseudonyms:
    """The pseudonyms of one case.

    ``case`` is the key; the same one gives the same pseudonyms in every file. Without one they are drawn by lot, and no other
    file will have them. With ``names`` off only secrets are exchanged; names, addresses and texts stay.
    """

    def __init__(self, case: str | None = None, *, names: bool = True) -> None:
        if case is not None and not case.strip():
            raise AnalyzerError("the key of --case is empty", hint="give a word only you know, or leave --case out")
        salt = b"mailscope case"
        self._key = os.urandom(32) if case is None else hashlib.pbkdf2_hmac("sha256", case.encode(), salt, KEY_ROUNDS)
        self.names = names
        self.numbers: set[str] = set()
        """Numbers that were names, or part of one: where a server repeats one it is exchanged."""
        self.run = lru_cache(CACHE_SIZE)(self._run)
        self.mac = lru_cache(CACHE_SIZE)(self._mac)
        self.address = lru_cache(CACHE_SIZE)(self._address)

    def _digest(self, *parts: bytes) -> bytes:
        return hmac.digest(self._key, b"\0".join(parts), "sha256")

    # -- names

    def name(self, text: str) -> str:
        """Return the pseudonym of a name, as long as it in UTF-8 and in UTF-16."""
        if not self.names:
            return text
        if len(self.numbers) < CACHE_SIZE:
            self.numbers.update(_LONG_NUMBER.findall(text))
        return _RUN.sub(lambda found: self.run(found[0]), _OTHER.sub(lambda found: self._other(found[0]), text))

    def octets(self, name: bytes) -> bytes:
        """Return the pseudonym of a name as it stands on the wire, in as many octets."""
        try:
            return self.name(name.decode("utf-8")).encode("utf-8")
        except UnicodeDecodeError:
            return (
                self.name(re.sub(rb"[\x80-\xff]", b"_", name).decode("ascii")).encode("ascii") if self.names else name
            )

    def _other(self, character: str) -> str:
        point = ord(character)
        if point < 0x80:
            return character if character in _SAFE else "_"
        _, instead, count = next(wide for wide in reversed(_WIDE) if point >= wide[0])
        return chr(instead + int.from_bytes(self._digest(b"wide", point.to_bytes(4, "big"))[:4], "big") % count)

    def _run(self, word: str) -> str:
        """Exchange one run of letters and digits; capitals stay capitals where a letter takes their place."""
        low = word.lower()
        alphabet = _DIGITS if low.isdecimal() else _LETTERS
        if len(low) > RUN_LIMIT:
            made = self.secret(low.encode(), alphabet.encode()).decode()
        else:
            made = "".join(alphabet[x] for x in self._shifted([alphabet.index(c) for c in low], len(alphabet)))
        if word.isupper():
            return made.upper()
        return "".join(new.upper() if old.isupper() else new for old, new in zip(word, made, strict=True))

    def _shifted(self, values: list[int], base: int, tweak: bytes = b"") -> list[int]:
        """Exchange a list of numbers below ``base`` for another, each list for one of its own."""
        for turn in range(2):
            for place in range(len(values)):
                rest = bytes((turn, place, base & 0xFF, len(values), *values[:place], *values[place + 1 :]))
                shift = int.from_bytes(self._digest(b"shift", tweak, rest)[:8], "big")
                values[place] = (values[place] + shift) % base
        return values

    # -- secrets

    def secret(self, octets: bytes, alphabet: bytes = _SECRET_LETTERS) -> bytes:
        """Return what takes a secret's place: letters and digits, as many as there were octets."""
        made = bytearray()
        for block in range(0, len(octets), 32):
            made += self._digest(b"secret", block.to_bytes(8, "big"), octets)
        return bytes(alphabet[x % len(alphabet)] for x in made[: len(octets)])

    def hexadecimal(self, octets: bytes) -> bytes:
        """Return what takes the place of a digest in hexadecimal digits."""
        return self.secret(octets, _HEX.encode())

    # -- addresses

    def _address(self, address: bytes) -> bytes:
        """Return an address of 10.0.0.0/8 or fd00::/8 for any of 4 or 16 octets (RFC 1918, RFC 4193).

        No two IPv4 addresses that begin with the same octet become one.
        """
        if not self.names:
            return address
        if len(address) == 4:
            return bytes((10, *self._shifted(list(address[1:]), 256, b"ip" + address[:1])))
        return b"\xfd" + self._digest(b"ip", address)[:15]

    def _mac(self, mac: bytes) -> bytes:
        """Return a locally administered link address; one of a group stays one of a group (IEEE 802)."""
        if not self.names or not any(mac):
            return mac
        return bytes((mac[0] & 1 | 2,)) + self._digest(b"mac", mac)[: len(mac) - 1]

    # -- texts

    def words(self, octets: bytes, *, always: bool = False, cut: bool = False) -> bytes:
        """Return a server's text with every word replaced that is neither a mail server's nor a short number.

        ``always`` says to do so where names stay, too: the text may repeat a secret. ``cut`` says that the last word may lack
        its end.
        """
        if not self.names and not always:
            return octets
        try:
            text = octets.decode("utf-8")
        except UnicodeDecodeError:
            text = re.sub(rb"[\x80-\xff]", b"_", octets).decode("ascii")
        made, place = "", 0
        for found in _WORD.finditer(text):
            last = cut and found.end() == len(text)
            made += self._between(text[place : found.start()]) + self._word(found[0], cut=last)
            place = found.end()
        return (made + self._between(text[place:])).encode("utf-8")

    def _between(self, text: str) -> str:
        return text if text.isascii() else "".join(c if c.isascii() else self._other(c) for c in text)

    def _word(self, word: str, *, cut: bool = False) -> str:
        low = word.lower()
        if cut and any(known.startswith(low) for known in vocabulary()):
            return word
        if low in self.numbers:
            return self.run(word)
        if _NUMBERS.fullmatch(low):
            kept = not _QUAD.fullmatch(low) and len(max(low.split("."), key=len)) <= NUMBER_DIGITS
            return word if kept else _RUN.sub(lambda found: self.run(found[0]), word)
        if len(low) == 1 or low in vocabulary() or low in _DOTTED_WORDS:
            return word
        if "." in word or "@" in word or ":" in word:
            return self._name_in_text(word)
        return self.run(word)

    def _name_in_text(self, word: str) -> str:
        """Exchange a dotted name whole, its ordinary words too; underscored settings of servers stay."""
        return _RUN.sub(lambda found: self.run(found[0]), _OTHER.sub(lambda found: self._other(found[0]), word))
