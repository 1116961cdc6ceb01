"""Refusals, lanes and delays: what their data holds, what is drawn of it, and that hostile names stay names."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from analyzer.at import NS_PER_S
from analyzer.errors import AnalyzerError, OutputError
from analyzer.report.delays import LEAST_MS, delays, length
from analyzer.report.picture import REFUSED_COLOUR, Picture
from analyzer.report.refusals import MOST_GROUPS, OTHERS, SILENT, refusals
from analyzer.report.swimlanes import MOST_BARS, MOST_LANES, lanes
from analyzer.rules.finding import Verdict
from analyzer.sessions.session import LoginOutcome, Outcome
from tests.records import finding, full_house, login, one_pc, refused, result, session

HOUSE = full_house()
"""10 clients, a limit of 16, 42 refusals."""
MAKERS = [refusals, lanes, delays]
HOSTILE = ["_service", "$a$ $\\frac{1}{2}$", "$unclosed", "x<y>&amp;", "a" * 300, "\N{CJK UNIFIED IDEOGRAPH-4E2D}"]


@pytest.fixture(scope="module")
def house() -> Any:
    return result(HOUSE, [finding(Verdict.CONFIRMED, title="limit reached", facts={"limit": 16})])


def texts(ax: Any) -> list[str]:
    """Every text of the axes."""
    from matplotlib.text import Text

    return [x.get_text() for x in ax.findobj(Text)]


def labels(ax: Any) -> list[str]:
    return [x.get_text().replace("\n", " ") for x in ax.get_legend().get_texts()]


@pytest.mark.parametrize("make", MAKERS)
def test_times_are_utc_to_the_nanosecond(make: Any, house: Any) -> None:
    for made in (house, result(())):
        data = make(made).data
        assert {str(data[x].dtype) for x in {"time", "start", "end"} & set(data.columns)} == {"datetime64[ns, UTC]"}
    odd = session()._replace(start=1_709_543_640_000_000_001)
    assert 1_709_543_640_000_000_001 in lanes(result([odd])).data["start"].astype("int64").tolist()


def test_refusals_are_counted_by_interval_and_words(house: Any) -> None:
    chart = refusals(house)
    counted = chart.data.groupby(["what", "who"], observed=True)["attempts"].sum().to_dict()
    assert counted == {("refused", "NO AUTHENTICATE failed."): 42, ("accepted", ""): 20}
    assert chart.data["time"].nunique() <= 61
    assert set(chart.data["time"].astype("int64") % chart.step) == {0}
    ax = chart.draw()
    assert labels(ax) == ["refused: NO AUTHENTICATE failed. (42)", "accepted (20)"]
    assert "42 of 62 attempts refused; each bar counts 10 s" in texts(ax)
    assert sum(x.get_height() for x in ax.patches) == 62


def test_bars_of_one_interval_stand_on_each_other() -> None:
    mixed = [
        session("C1"),
        refused("C2"),
        refused("C3"),
        session("C4", logins=[login("C4", at_s=0.18, outcome=LoginOutcome.UNSEEN)]),
    ]
    ax = refusals(result(mixed)).draw()
    bars = [(x.get_y(), x.get_height()) for x in ax.patches]
    assert max(y + h for y, h in bars) == sum(h for _, h in bars) == 4
    assert bars[0] == (0, 2)
    assert len({x.get_x() for x in ax.patches}) == 1
    assert ax.patches[0].get_facecolor() == pytest.approx(_rgba(REFUSED_COLOUR))
    assert labels(ax)[-1] == "no answer seen (1)"


def _rgba(colour: str) -> Any:
    from matplotlib.colors import to_rgba

    return to_rgba(colour)


@pytest.mark.parametrize(("by", "count"), [("account", 1), ("client", 2), ("server", 1), ("words", 1)])
def test_refusals_are_parted_by_whom_they_hit(house: Any, by: str, count: int) -> None:
    who = refusals(house, by=by).data.query("what == 'refused'")["who"]
    assert who.nunique() == min(count, MOST_GROUPS) + (OTHERS in set(who))


def test_many_words_get_a_few_colours_and_one_for_the_rest() -> None:
    said = [login(f"C{n}", outcome=LoginOutcome.REFUSED, text=f"word {n}", at_s=n) for n in range(1, 10)]
    chart = refusals(result([refused(x.session, logins=[x]) for x in said]))
    assert chart.data["who"].nunique() == MOST_GROUPS + 1
    assert labels(chart.draw())[-1] == f"refused: {OTHERS} ({9 - MOST_GROUPS})"


def test_a_refusal_at_the_greeting_counts_with_its_words_or_as_silence() -> None:
    turned = session("C1", outcome=Outcome.REFUSED_AT_GREETING, greeting="Too many connections", lasts_s=0.1)
    silent = session("C2", outcome=Outcome.REFUSED_AT_GREETING, greeting=None, lasts_s=0.1)
    assert set(refusals(result([turned, silent])).data["who"]) == {"Too many connections", SILENT}


def test_lanes_hold_every_session_and_every_refusal(house: Any) -> None:
    chart = lanes(house)
    assert chart.data["what"].value_counts().to_dict() == {"logged in": 20, "refused": 42, "refusal": 42}
    assert len(chart.who) == 10
    assert chart.data.groupby("what", observed=True)["session"].nunique()["refusal"] == 42
    ax = chart.draw()
    assert labels(ax) == ["session logged in (20)", "session refused (42)", "refusals (42)"]
    assert [x.get_text() for x in ax.get_yticklabels()] == chart.who
    assert [len(x.get_paths()) for x in ax.collections] == [20, 42]


def test_sessions_at_the_same_time_stand_in_rows_of_their_own(house: Any) -> None:
    data = lanes(house, by="account").data.query("what != 'refusal'")
    for _, row in data.groupby("row"):
        ordered = row.sort_values("start")
        assert (ordered["start"].iloc[1:].to_numpy() >= ordered["end"].iloc[:-1].to_numpy()).all()
    assert data["row"].max() >= 15


def test_a_quiet_open_session_reaches_the_end_of_the_captures() -> None:
    quiet = session("C1", lasts_s=None)._replace(end=session("C1").start + NS_PER_S)
    busy = session("C2", lasts_s=100.0)
    data = lanes(result([quiet, busy])).data.set_index("session")
    assert data.loc["C1", "end"] >= data.loc["C2", "end"]


def test_lanes_stand_in_order_of_arrival_and_keep_those_refused_when_there_are_too_many() -> None:
    people = [session(f"C{n}", client=f"10.0.0.{n}", at_s=100 - n) for n in range(1, 41)]
    people += [refused("C50", client="10.9.9.9", at_s=200.0)]
    chart = lanes(result(people))
    assert len(chart.who) == MOST_LANES
    assert chart.who[-1] == "10.9.9.9"
    assert chart.who[:-1] == [f"10.0.0.{n}" for n in range(MOST_LANES - 1, 0, -1)]
    assert chart.note == f"{41 - MOST_LANES} more clients not drawn"


def test_a_picture_never_holds_more_bars_than_one_can_see() -> None:
    many = [session(f"C{n}", at_s=n / 10, lasts_s=0.05, login_s=0.01) for n in range(MOST_BARS + 10)]
    chart = lanes(result(many))
    assert len(chart.data) == MOST_BARS
    assert chart.note == "10 more sessions and refusals not drawn"


def test_encrypted_sessions_are_called_so() -> None:
    assert lanes(result([session(outcome=Outcome.OPAQUE)])).data["what"].tolist() == ["encrypted"]


def test_delays_hold_greetings_and_answers(house: Any) -> None:
    chart = delays(house)
    assert chart.data["what"].value_counts().to_dict() == {"greeting": 62, "refused": 42, "accepted": 20}
    assert chart.data.query("what == 'greeting'")["ms"].unique().tolist() == [2.0]
    assert chart.data.query("what == 'refused'")["ms"].unique().tolist() == [80.0]
    ax = chart.draw()
    assert labels(ax) == [
        "greeting (62, median 2 ms)",
        "login accepted (20, median 80 ms)",
        "login refused (42, median 80 ms)",
    ]
    assert "124 answers; the longest wait was 80 ms, for a login that was accepted" in texts(ax)
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[0] < 2
    assert ax.get_ylim()[1] > 80


def test_what_took_no_time_is_drawn_at_the_foot() -> None:
    ax = delays(result([session(greeting_ms=0.0)])).draw()
    assert min(float(y) for line in ax.lines for y in line.get_ydata()) == LEAST_MS


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0.05, "0.05 ms"), (2.0, "2 ms"), (34.6, "35 ms"), (1000, "1 s"), (4830, "4.83 s"), (150_000, "2.5 min")],
)
def test_durations_are_written_as_people_say_them(ms: float, text: str) -> None:
    assert length(ms) == text


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(
    ("make", "by"), [(refusals, "account"), (refusals, "client"), (lanes, "account"), (lanes, "client")]
)
def test_hostile_names_are_drawn_as_they_are(make: Any, by: str, name: str) -> None:
    made = result([refused(account=name, client=name), *full_house(agents=2, account="b")], [finding(title=name)])
    chart = make(made, by=by)
    shown = texts(chart.draw())
    assert (
        sum("".join(name[:20].split()) in "".join(x.split()) for x in shown) >= 2
    )  # the title and the lane or the legend
    ET.fromstring(chart.render("svg"))


@pytest.mark.parametrize("make", MAKERS)
def test_words_of_a_server_are_no_mathematics_on_axes_made_elsewhere(make: Any) -> None:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    title = "costs $5 or $\\nonsense$"
    ax = Figure().add_subplot()
    said = login(outcome=LoginOutcome.REFUSED, text=title, account=title)
    assert make(result([refused(logins=[said])], [finding(title=title)])).draw(ax) is ax
    assert not any(x.get_parse_math() for x in ax.findobj(Text))
    figure: Any = ax.figure
    figure.canvas.draw()
    assert any(title in x for x in texts(ax))


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "sessions", [(), (session(outcome=Outcome.OPAQUE),), one_pc(1), (session(lasts_s=0.0, login_s=0.0),)]
)
def test_few_or_no_sessions_still_make_a_picture(make: Any, sessions: tuple[Any, ...]) -> None:
    assert make(result(sessions)).render("png").startswith(b"\x89PNG")
    assert make(result(sessions, captures=())).render("svg")


@pytest.mark.parametrize("make", MAKERS)
def test_charts_are_values_that_show_and_save_themselves(make: Any, house: Any, tmp_path: Path) -> None:
    chart = make(house)
    assert isinstance(chart, Picture)
    assert chart._repr_png_() == make(house).render("png") == chart.save(tmp_path / "a.png").read_bytes()
    assert "<svg" in chart._repr_svg_()
    assert texts(chart.draw()).count("CONFIRMED: limit reached") == 1
    with pytest.raises(OutputError):
        chart.save(tmp_path / "a.gif")


@pytest.mark.parametrize("make", [refusals, lanes])
def test_an_unknown_kind_is_an_error(make: Any, house: Any) -> None:
    with pytest.raises(AnalyzerError, match="by colour"):
        make(house, by="colour")
