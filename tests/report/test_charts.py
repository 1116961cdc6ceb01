from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from analyzer.at import NS_PER_S
from analyzer.errors import AnalyzerError, OutputError
from analyzer.report import RENDERERS, save
from analyzer.report.charts import MOST_LANES, MOST_LINES, connections
from analyzer.report.curves import clock, step_of, ticks
from analyzer.report.picture import STYLE
from analyzer.rules.finding import Verdict
from analyzer.sessions.session import Outcome
from tests.records import BASE, finding, full_house, one_pc, result, session

ROOT = Path(__file__).parents[2]
LIMITED = finding(Verdict.CONFIRMED, title="limit reached", facts={"limit": 16})


@pytest.fixture(scope="module")
def house() -> Any:
    return result(full_house(), [LIMITED])


def texts(ax: Any) -> list[str]:
    legend = ax.get_legend()
    labels = [x.get_text() for x in legend.get_texts()] if legend else []
    return [ax.get_title(loc="left"), *(x.get_text() for x in ax.texts), *labels]


def test_the_data_holds_every_change_and_every_refusal(house: Any) -> None:
    data = connections(house).data
    assert list(data.columns) == ["time", "who", "what", "open"]
    assert str(data["time"].dt.tz) == "UTC"
    assert data[data["what"] == "open"]["open"].max() == 16
    refused = data[data["what"] == "refused"]
    assert len(refused) == 42
    assert set(refused["open"]) == {16}


def test_the_picture_says_the_answer_draws_the_limit_and_names_all(house: Any) -> None:
    ax = connections(house).draw()
    shown = texts(ax)
    assert shown[0] == "CONFIRMED: limit reached"
    assert "limit 16" in shown
    assert "uccx-mail: 42 refusals, with 16 of its sessions open in this view" in shown
    assert shown[-2:] == ["uccx-mail", "refusals (42)"]
    assert ax.get_xlabel() == "time, UTC (2024-03-04)"
    assert ax.get_ylabel() == "open sessions per account"
    assert ax.get_ylim()[1] > 16
    assert [x.get_text() for x in ax.get_xticklabels()] == ["09:14", "09:16", "09:18", "09:20", "09:22", "09:24"]
    marks = next(x for x in ax.lines if x.get_marker() == "x")
    assert set(marks.get_ydata()) == {16}


def test_no_limit_is_drawn_that_nobody_found() -> None:
    shown = texts(connections(result(one_pc(), [finding()])).draw())
    assert not any(x.startswith("limit ") for x in shown)
    assert any("with 0 of its sessions open" in x for x in shown)


@pytest.mark.parametrize("by", ["client", "server"])
def test_clients_and_servers_get_a_lane_each(house: Any, by: str) -> None:
    chart = connections(house, by=by)
    ax = chart.draw()
    names = [x.get_text() for x in ax.get_yticklabels()]
    assert names == list(dict.fromkeys(chart.data["who"])) or set(names) == set(chart.data["who"])
    assert len(names) == {"client": 10, "server": 1}[by]
    assert chart.limit is None


def test_a_client_that_is_only_refused_has_crosses_and_no_bar() -> None:
    ax = connections(result(one_pc()), by="client").draw()
    assert len(ax.collections) == 0
    assert [list(x.get_ydata()) for x in ax.lines if x.get_marker() == "x"] == [[0, 0, 0]]


def test_an_unknown_kind_is_an_error(house: Any) -> None:
    with pytest.raises(AnalyzerError, match="by colour") as told:
        connections(house, by="colour")
    assert told.value.hint == "by is one of account, client, server"


@pytest.mark.parametrize(
    "name", ["_hidden", "$a$ $\\frac{1}{2}$", "x<y>&amp;", "a" * 300, "\N{CJK UNIFIED IDEOGRAPH-4E2D}"]
)
@pytest.mark.parametrize("by", ["account", "client"])
def test_hostile_names_are_drawn_as_they_are(name: str, by: str) -> None:
    made = result([session(account=name, client=name), *full_house(agents=2, account="b")], [finding(title=name)])
    chart = connections(made, by=by)
    ax = chart.draw()
    shown = [*texts(ax), *(x.get_text() for x in ax.get_yticklabels())]
    assert any(x.startswith(name[:30]) for x in shown[1:])
    ET.fromstring(chart.render("svg"))
    assert chart.render("png").startswith(b"\x89PNG")


@pytest.mark.parametrize("by", ["account", "client"])
@pytest.mark.parametrize("sessions", [(), (session(outcome=Outcome.OPAQUE),), (session(lasts_s=0.0, login_s=0.0),)])
def test_few_or_no_sessions_still_make_a_picture(by: str, sessions: tuple[Any, ...]) -> None:
    assert connections(result(sessions), by=by).render("png").startswith(b"\x89PNG")
    assert connections(result(sessions, captures=()), by=by).render("svg")


def test_too_many_accounts_are_counted_not_drawn() -> None:
    sessions = [session(f"C{n}", account=f"a{n}", client=f"10.0.0.{n}") for n in range(1, 41)]
    ax = connections(result(sessions)).draw()
    assert len(ax.lines) == MOST_LINES
    assert ax.get_legend().get_title().get_text() == f"{40 - MOST_LINES} more not drawn"
    lanes = [x.get_text() for x in connections(result(sessions), by="client").draw().get_yticklabels()]
    assert lanes == [f"10.0.0.{n}" for n in range(1, MOST_LANES + 1)]


def test_a_refusal_at_the_greeting_counts_for_its_client() -> None:
    made = result([session(outcome=Outcome.REFUSED_AT_GREETING, lasts_s=0.1)])
    assert connections(made, by="client").data["who"].tolist() == ["10.4.4.95"]
    assert connections(made).data["who"].tolist() == ["(account not seen)"]


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_chart_gives_the_same_octets(house: Any, kind: str) -> None:
    first = connections(house).render(kind)
    assert first == connections(house).render(kind)
    assert b"matplotlib.org" not in first or kind == "svg"
    assert b"<dc:date>" not in first


def test_a_chart_shows_itself_in_a_notebook_and_draws_on_given_axes(house: Any) -> None:
    from matplotlib.figure import Figure

    chart = connections(house)
    assert chart._repr_png_().startswith(b"\x89PNG")
    assert "<svg" in chart._repr_svg_()
    ax = Figure().add_subplot()
    assert chart.draw(ax) is ax


def test_no_global_state_of_matplotlib_is_touched(house: Any) -> None:
    import matplotlib as mpl

    before = {key: mpl.rcParams[key] for key in STYLE}
    connections(house).render("png")
    assert {key: mpl.rcParams[key] for key in STYLE} == before


def test_pyplot_is_never_imported() -> None:
    code = (
        "import sys; from tests.records import *; from analyzer.report.charts import connections;"
        "connections(result(one_pc())).render('png'); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_saving_takes_png_and_svg_only(house: Any, tmp_path: Path) -> None:
    chart = connections(house)
    assert chart.save(tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in chart.save(str(tmp_path / "a.svg")).read_bytes()
    with pytest.raises(OutputError):
        chart.save(tmp_path / "a.gif")
    with pytest.raises(OutputError, match="cannot be written"):
        chart.save(tmp_path / "no" / "a.png")


@pytest.mark.parametrize(
    ("span_s", "step_s", "first"),
    [
        (0.0000001, 0.00000002, "09:14:00.00000000"),
        (0.3, 0.05, "09:14:00.00"),
        (5, 1, "09:14:00"),
        (59, 10, "09:14:00"),
        (600, 120, "09:14"),
        (86_400, 21_600, "12:00"),
        (86_400 * 30, 86_400 * 4, "03-06"),
        (0, 0.000000001, "09:14:00.000000000"),
    ],
)
def test_ticks_are_round_utc_times_at_most_eight(span_s: float, step_s: float, first: str) -> None:
    span = round(span_s * NS_PER_S)
    step = step_of(span)
    labels = [text for _, text in ticks(BASE, BASE + span)]
    assert step == round(step_s * NS_PER_S)
    assert labels[0] == first
    assert 1 <= len(labels) <= 8
    assert len(set(labels)) == len(labels)


def test_a_clock_out_of_range_is_no_crash() -> None:
    assert clock(2**70, NS_PER_S)
    wild = [session(start=2**62, opened=2**62, end=2**62 + 5, closed=None)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert connections(result(wild)).render("png")


@pytest.mark.parametrize("suffix", list(RENDERERS))
def test_every_suffix_has_a_renderer_that_writes(house: Any, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"case{suffix}"
    save(house, path)
    assert path.stat().st_size > 100
    assert path.read_bytes() == RENDERERS[suffix](house)


def test_an_unknown_suffix_is_told_with_the_known_ones(house: Any, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"case\.docx") as caught:
        save(house, tmp_path / "case.docx")
    assert ".json" in caught.value.hint
