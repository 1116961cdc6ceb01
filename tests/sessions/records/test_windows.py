import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analyzer.errors import EngineMissing, UnknownFormat
from analyzer.sessions.records import is_log, read_log
from tests.logs import STORE_TEXT, USER_TEXT, event_text, event_xml, log
from tests.records import ns

IMAP, STORE, WHEN = "MSExchangeIMAP4", "MSExchangeIS", ns(60)
SECURITY = "Microsoft-Windows-Security-Auditing"


def security(number: int, **values: str) -> str:
    data = "".join(f"<Data Name='{name}'>{value}</Data>" for name, value in values.items())
    return event_xml(number, SECURITY, WHEN, ()).replace("<EventData>", f"<EventData>{data}")


@pytest.mark.parametrize(
    ("xml", "cause", "account", "limit"),
    [
        (event_xml(1009, IMAP, WHEN, ["CORP\\desk", "16"]), "per_user_connection_limit", "desk", 16),
        (event_xml(1009, "MSExchangePOP3", WHEN, ["desk@corp.example", "10"]), "per_user_connection_limit", "desk@corp.example", 10),
        (event_xml(1009, IMAP, WHEN, ["<string>desk</string><string>16</string>"]), "per_user_connection_limit", "desk", 16),
        (event_xml(9646, STORE, WHEN, ["/o=First/ou=X/cn=Recipients/cn=desk", "16", "session"]), "store_session_limit", "desk", 16),
        (event_xml(9646, STORE, WHEN, (), STORE_TEXT.format("0123456789abcdef0123456789ABCDEF-desk".lower()).replace('"', "&quot;")), "store_session_limit", "desk", 16),
        (event_xml(9646, STORE, WHEN, (), "Mapi session /o=F/cn=Recipients/cn=desk.one with client type Imap exceeded the maximum of 16 objects of type Session."), "store_session_limit", "desk.one", 16),
        (event_xml(1021, "MSExchangeTransport", WHEN, (), "Receive connector 'X' rejected an incoming connection from IP address '192.0.2.7'. The maximum number of connections per source ('20') for this connector has been reached"), "smtp_connection_limit", None, 20),
        (security(4740, TargetUserName="desk", SubjectUserName="DC01$"), "account_locked", "desk", None),
        (security(4625, TargetUserName="desk", Status="0xC000006D", SubStatus="0xC000006A"), "bad_credentials", "desk", None),
        (security(4625, TargetUserName="desk", Status="0xc000006d", SubStatus="0xc0000234"), "account_locked", "desk", None),
        (security(4776, TargetUserName="desk", Status="0xC0000064"), "bad_credentials", "desk", None),
    ],
)  # fmt: skip
def test_events(tmp_path: Path, xml: str, cause: str, account: str | None, limit: int | None) -> None:
    found = log(tmp_path, xml + "\n")
    (record,) = found.records
    assert (record.cause, record.account, record.limit, record.ts, found.utc) == (cause, account, limit, WHEN, True)
    assert record.host == "EXCH01"


@pytest.mark.parametrize(
    "xml",
    [
        event_xml(9646, STORE, WHEN, ["/o=F/cn=Recipients/cn=desk", "250", "objtMessage"]),
        event_xml(1009, "Disk", WHEN, ["desk", "16"]),
        event_xml(1010, IMAP, WHEN, ["desk", "16"]),
        security(4625, TargetUserName="desk", SubStatus="0xC000006A", ProcessName="C:\\Windows\\System32\\svchost.exe"),
        security(4625, TargetUserName="desk", SubStatus="0xC0000001"),
    ],
)
def test_events_that_say_nothing_of_a_login(tmp_path: Path, xml: str) -> None:
    assert log(tmp_path, xml).records == ()


TSV = "Level\tDate and Time\tSource\tEvent ID\tTask Category\n"


@pytest.mark.parametrize(
    ("text", "at_s", "line"),
    [
        (event_text(1009, IMAP, "2024-03-04T09:15:00.000", USER_TEXT.format("desk")), 60, 1),
        ("Log Name:      Application\r\nSource:        MSExchangeIMAP4\r\nDate:          3/4/2024 9:15:00 AM\r\nEvent ID:      1009\r\n"
         "Task Category: Server\r\nLevel:         Warning\r\nComputer:      EXCH01\r\nDescription:\r\n" + USER_TEXT.format("<desk>"), 60, 1),
        (f'{TSV}Warning\t3/4/2024 9:15:00 AM\t{IMAP}\t1009\tServer\t"{USER_TEXT.format("desk")}"\n', 60, 2),
        (f"Level,Date and Time,Source,Event ID,Task Category\nWarning,3/4/2024 9:15:00 PM,{IMAP},1009,Server,{USER_TEXT.format('desk')}\n", 12 * 3600 + 60, 2),
        (f"Ebene,Datum und Uhrzeit,Quelle,Ereignis-ID,Aufgabenkategorie\nWarnung,04.03.2024 09:15:00,{IMAP},1009,Server,{USER_TEXT.format('desk')}\n", 60, 2),
        (f"Nivel,Fecha y hora,Origen,Id. del evento,Categoría\nAdvertencia,04/03/2024 9:15:00 a. m.,{IMAP},1009,Server,{USER_TEXT.format('desk')}\n", 60, 2),
        (f"Niveau,Date et heure,Source,ID événement,Catégorie\nInfo,25/02/2024 09:00:00,Disk,7,x,x\nA,04/03/2024 09:15:00,{IMAP},1009,S,{USER_TEXT.format('desk')}\n", 60, 3),
        (f'#TYPE System.Diagnostics\n"Message","Id","ProviderName","TimeCreated"\n"{USER_TEXT.format("desk")}","1009","{IMAP}","3/4/2024 9:15:00 AM"\n', 60, 3),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_exports(tmp_path: Path, text: str, at_s: float, line: int, encoding: str) -> None:
    found = log(tmp_path, text.encode(encoding))
    (record,) = found.records
    assert (record.account, record.limit, record.ts, record.line) == ("desk", 16, ns(at_s), line)
    assert not found.utc


def test_several_events_of_one_text(tmp_path: Path) -> None:
    events = [event_text(1009, IMAP, f"2024-03-04T09:1{n}:00.000", USER_TEXT.format(f"desk{n}")) for n in range(3)]
    found = log(tmp_path, "".join(events))
    assert [(r.account, r.ts) for r in found.records] == [(f"desk{n}", ns(60.0 * n - 240)) for n in range(3)]


@pytest.mark.parametrize(
    "text",
    [
        "<Event>" * 5000,
        "<Event xmlns='x'><EventID>1009</EventID>" + "<Data>" * 20000 + "</Event>",
        event_xml(1009, IMAP, WHEN, ["\x1b[31m\u202edesk", "9" * 50]),
        f"{TSV}Warning\t3/4/2024 9:15:00 AM\t{IMAP}\t1009\tServer\t\"{'x' * 300000}",
        f"Event[0]:\n  Event ID: {'9' * 400}\n" * 50,
        '<!DOCTYPE x [<!ENTITY a "b">]><Event xmlns="x"><EventID>1009</EventID><Provider Name="MSExchangeIMAP4"/>&a;</Event>',
    ],
    ids=range(6),
)  # fmt: skip
def test_hostile_exports_raise_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "events.txt"
    path.write_text(text)
    if is_log(path):
        assert all((r.account or "").isprintable() for r in read_log(path).records)


def test_an_evtx_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evtx", None)
    with pytest.raises(EngineMissing, match="needs the package evtx") as told:
        log(tmp_path, b"ElfFile\0" + bytes(4096), "Application.evtx")
    assert "pip install 'mailscope[evtx]'" in told.value.hint
    assert "wevtutil" in told.value.hint


def test_an_evtx_is_read_through_it_up_to_the_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Parser:
        def __init__(self, path: str, number_of_threads: int) -> None:
            self.path = path

        def records(self) -> Iterator[dict[str, Any]]:
            for n in (41, 42):
                yield {"event_record_id": n, "data": event_xml(1009, IMAP, WHEN, ["desk", "16"])}
            raise RuntimeError("chunk 3 is damaged\x1b")

    monkeypatch.setitem(sys.modules, "evtx", SimpleNamespace(PyEvtxParser=Parser))
    found = log(tmp_path, b"ElfFile\0" + bytes(4096), "Application.evtx")
    assert [(r.line, r.account, r.ts) for r in found.records] == [(41, "desk", WHEN), (42, "desk", WHEN)]
    assert found.warnings == ("reading stopped at a damaged event: chunk 3 is damaged\ufffd",)
    assert found.utc


def test_the_real_package_answers_damage_alike(tmp_path: Path) -> None:
    pytest.importorskip("evtx")
    assert log(tmp_path, b"ElfFile\0" + bytes(8192), "Application.evtx").records == ()


def test_what_is_no_log(tmp_path: Path) -> None:
    for text in ("", "hello\n", '"No.","Time","Source"\n"1","0.0","192.0.2.1"\n', "<html></html>"):
        path = tmp_path / "x.txt"
        path.write_text(text)
        assert not is_log(path)
        with pytest.raises(UnknownFormat, match="not a server log we read"):
            read_log(path)
    assert not is_log(tmp_path / "missing")
