"""What another limit would have made of the refusals, in words: the answer, what it assumes, what it cannot know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from analyzer.rules.replay import WhatIf


def sentences(answers: Iterable[WhatIf]) -> list[str]:
    """Return the answers line by line; one line when there is nothing to replay."""
    told = list(answers)
    if not told:
        return ["no refusal here is put down to a limit per user: there is nothing to replay"]
    return [line for answer in told for line in _lines(answer)]


def _lines(x: WhatIf) -> Iterator[str]:
    who = f"account {x.account} on {x.server}" if x.account else f"server {x.server}"
    if not x.whole:
        yield f"{who}: taken at one client, or partly encrypted; how many sessions others held is not in the capture, so no limit can be named"
        return
    yield f"{who}, a limit of {x.limit}: {x.spared} of {x.refused} refusals spared"
    if x.lost:
        yield f"it would have refused {x.lost} logins that were accepted"
    yield f"the smallest limit that spares all is {x.enough}{' per address' if x.per_address else ''}; a reserve comes on top"
    longer = " or longer" if x.at_least else ""
    yield f"assumed: a spared session lasts {x.session_s:g} s{longer}, as the account's usually do, and its client does not try again"
    yield "not in it: sessions of before the capture, and places the server keeps for clients that are gone"
