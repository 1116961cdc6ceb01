"""Many captures at a time: poison among them, an interrupt."""

import gzip
import os
import struct
import sys
from pathlib import Path

import pytest

from analyzer.triage.batch import Row, triage
from tests.triage.processes import running, soon

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _from_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def test_poison_costs_its_own_row_only(tmp_path: Path) -> None:
    """All the ways to end badly, each once among good ones."""
    sample = (ROOT / "sample_pcaps" / "wrong_password_one_pc.pcap").read_bytes()
    bad = {"segfault", "loop", "eater", "exception", "kill"} if os.name == "posix" else {"exception"}
    for number, name in enumerate((*bad, *(f"good{number:02}" for number in range(40)))):
        different = sample[:16] + struct.pack("<I", 65_535 + number) + sample[20:]  # else they were one content
        (tmp_path / f"{name}.pcap").write_bytes(different)
    (tmp_path / "truncated.pcap").write_bytes(sample[:-5])
    with gzip.open(tmp_path / "bomb.pcap.gz", "wb", 1) as bomb:
        for _ in range(100):
            bomb.write(bytes(1 << 20))
    seen = []
    result = triage(
        [tmp_path],
        jobs=2,
        timeout_s=6,  # on a busy machine the bomb takes one or two
        memory_mb=300,
        target="tests.triage.targets:poisoned",
        progress=lambda row, done, total: seen.append((row.path, done, total)),
    )
    rows = {row.path: (row.state, row.reason) for row in result.rows}
    names = sorted(path.name for path in tmp_path.iterdir())
    assert list(rows) == names == sorted(path for path, _, _ in seen)
    assert [(done, total) for _, done, total in seen] == [(n, len(names)) for n in range(1, len(names) + 1)]
    good = {path: told for path, told in rows.items() if path.startswith("good")}
    assert good == {f"good{number:02}.pcap": ("ok", None) for number in range(40)}
    assert rows.pop("exception.pcap") == ("error", "KeyError: 'seq'")
    assert rows["truncated.pcap"][0] == "partial"
    assert rows["bomb.pcap.gz"][0] == "not_a_capture"
    if os.name == "posix":
        assert rows["segfault.pcap"] == ("error", "killed by signal 11")
        assert rows["eater.pcap"] == ("error", "memory limit of 300 MiB reached")
        assert rows["kill.pcap"] == ("error", "killed by signal 9")
        assert rows["loop.pcap"][0] == "timeout"
    assert result.exit_status == 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_an_interrupt_ends_what_runs(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").touch()
    (tmp_path / "victim.pcap").write_text("hangs")

    def stop(row: Row, done: int, total: int) -> None:
        assert soon(lambda: running("mark-interrupted"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        triage(
            [tmp_path],
            jobs=2,
            timeout_s=50,
            target="tests.triage.targets:waits",
            options={"mark": "mark-interrupted"},
            progress=stop,
        )
    assert soon(lambda: not running("mark-interrupted"))
