"""A notebook runs in an event loop: reading, tables, charts and dialogue work inside one, and beside one in a thread."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

import analyzer

SAMPLE = Path(__file__).parents[1] / "sample_pcaps" / "imap_on_port_1143.pcap"
ENGINES = [
    "native",
    pytest.param("tshark", marks=pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")),
]


def look(engine: str) -> tuple[int, int, int, bytes]:
    """Do what a notebook does."""
    case = analyzer.read(SAMPLE, engine=engine, ports=[1143])
    said = case.dialogue(case.sessions["uid"].iloc[0])
    return len(case.logins), len(case.why()), len(said), case.chart.lanes().render("png")[:4]


@pytest.mark.parametrize("engine", ENGINES)
def test_all_of_it_works_inside_a_running_loop(engine: str) -> None:
    async def cell() -> tuple[int, int, int, bytes]:
        return look(engine)

    logins, why, said, picture = asyncio.run(cell())
    assert logins == 14
    assert why
    assert said
    assert picture == b"\x89PNG"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loop_goes_on_while_a_thread_reads(engine: str) -> None:
    async def cell() -> tuple[int, int]:
        beats = 0
        task = asyncio.create_task(asyncio.to_thread(look, engine))
        while not task.done():
            await asyncio.sleep(0.01)
            beats += 1
        return (await task)[0], beats

    logins, beats = asyncio.run(cell())
    assert logins == 14
    assert beats > 3


def test_the_loop_is_as_usable_after_reading_as_before() -> None:
    async def cell() -> int:
        loop = asyncio.get_running_loop()
        look("tshark" if shutil.which("tshark") else "native")
        assert asyncio.get_running_loop() is loop
        done = await asyncio.create_subprocess_exec("true")
        return await done.wait()

    assert asyncio.run(cell()) == 0
