"""The command line: arguments to one library call to output; nothing else happens here.

Results go to standard output, progress and warnings to standard error. Exit status: 0 nothing wrong found, 1 our own bug,
2 usage, 3 some input could not be read, 10 a fault is confirmed or likely, 11 one is only suspected.
Only typer is imported at the start; each verb imports what it needs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from analyzer import __version__
from analyzer.start import progress, write

if TYPE_CHECKING:
    from analyzer.analysis import Analysis
    from analyzer.errors import AnalyzerError
    from analyzer.report.result import Result

OUR_BUG, USAGE, UNREADABLE = 1, 2, 3
OPTIONAL = {
    "distributed": "to triage on a Dask cluster",
    "evtx": "for Windows .evtx event logs",
    "fsspec": "to triage addresses such as https://",
    "isal": "for .gz files, a third faster",
    "lz4": "for .lz4 files",
    "openpyxl": "to write .xlsx",
    "psycopg": "to keep cases in PostgreSQL",
    "py7zr": "for .7z archives",
    "pyarrow": "to write .parquet",
    "starlette": "to serve the upload page and the API",
    "zstandard": "for .zst files before Python 3.14",
}
FRAME_DIGITS = 11
"""A frame number has fewer."""
UIDS_SHOWN = 8
"""Sessions named in a hint."""
DEBUG_FLAGS = ("--debug", "-v")
VERBS = (
    "report", "sessions", "logins", "accounts", "dialogue", "explain", "evidence", "redact", "chart", "triage", "watch", "serve",
    "remedy", "probe", "rules", "fields", "schema", "doctor",
)  # fmt: skip

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Read packet captures and say why mail logins were refused.\n\n'mailscope CAPTURE...' is 'mailscope report CAPTURE...'.\n\n"
    "--debug (or -v), anywhere, shows the traceback of an error; --version the version.",
)


class Engine(StrEnum):
    """Who reads the packets."""

    AUTO = "auto"
    NATIVE = "native"
    TSHARK = "tshark"


class Style(StrEnum):
    """How a result is printed."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


class ProbeStyle(StrEnum):
    """How a probe is printed."""

    TEXT = "text"
    JSON = "json"


class TriageStyle(StrEnum):
    """How a triage is printed."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    HTML = "html"
    PARQUET = "parquet"


class PageStyle(StrEnum):
    """How a remedy is printed."""

    TEXT = "text"
    MD = "md"
    PS1 = "ps1"


class Protocol(StrEnum):
    """Whose settings a remedy is about."""

    IMAP = "imap"
    POP3 = "pop3"
    SMTP = "smtp"


class Tongue(StrEnum):
    """The reader's language."""

    EN = "en"
    ES = "es"


class By(StrEnum):
    """What a line, lane or colour of a chart stands for."""

    ACCOUNT = "account"
    CLIENT = "client"
    SERVER = "server"
    WORDS = "words"


class Kind(StrEnum):
    """What a chart shows."""

    CONNECTIONS = "connections"
    REFUSALS = "refusals"
    LANES = "lanes"
    DELAYS = "delays"


Captures = Annotated[
    list[Path],
    typer.Argument(
        metavar="CAPTURE", help="Capture files, archives of them, the server's own logs, '-' for standard input."
    ),
]
Known = Annotated[
    list[str] | None,
    typer.Option(
        "--known", metavar="FACT", help="What you know: credentials-verified, others-working, limit=16. Repeatable."
    ),
]
Ports = Annotated[
    list[int] | None, typer.Option("--port", metavar="N", min=1, max=65535, help="A further mail port. Repeatable.")
]
Reader = Annotated[
    Engine, typer.Option("--engine", help="Who reads the packets: auto asks tshark about formats that are not ours.")
]
Keylogs = Annotated[
    list[Path] | None,
    typer.Option(
        "--keylog", metavar="FILE", help="TLS keys, as SSLKEYLOGFILE makes a program write; needs tshark. Repeatable."
    ),
]
Format = Annotated[Style, typer.Option("--format", help="How to print it.")]
Language = Annotated[
    Tongue, typer.Option("--lang", "--language", help="Language of the sentences; data (JSON, CSV ...) stay English.")
]
Redact = Annotated[bool, typer.Option("--redact", help="Pseudonyms instead of names, hosts and addresses.")]
Case = Annotated[
    str | None,
    typer.Option("--case", metavar="KEY", help="Key of the pseudonyms: the same in all files; default: drawn by lot."),
]
ExitZero = Annotated[bool, typer.Option("--exit-zero", help="End with status 0 whatever was found.")]


@app.command(short_help="Say what is wrong, how sure that is, and what to do.")
def report(
    captures: Captures,
    *,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write a .html .md .json .txt .csv .xlsx .parquet .png .svg file. Repeatable.",
        ),
    ] = None,
    style: Format = Style.TEXT,
    why_not: Annotated[
        str | None, typer.Option("--why-not", metavar="CAUSE", help="Say instead why this cause was not claimed.")
    ] = None,
    redact: Redact = False,
    case: Case = None,
    known: Known = None,
    what_if: Annotated[
        int | None,
        typer.Option(
            "--what-if", metavar="N", min=1, max=1_000_000, help="Replay the refusals under a limit of N sessions."
        ),
    ] = None,
    language: Language = Tongue.EN,
    ports: Ports = None,
    engine: Reader = Engine.AUTO,
    keylogs: Keylogs = None,
    logs: Annotated[
        list[Path] | None,
        typer.Option("--log", metavar="FILE", help="A log of the server, whatever it looks like. Repeatable."),
    ] = None,
    exit_zero: ExitZero = False,
) -> None:
    """Say what is wrong, how sure that is, where to look and what to do."""
    from analyzer.report import HASHED, WITH_DIALOGUES, save

    suffixes = {path.suffix.lower() for path in output or ()}
    say = _speaker(language)
    hashed = style is Style.JSON or bool(suffixes & HASHED)
    if redact and (keylogs or logs):
        _stop("--redact knows captures only.", "leave --log and --keylog out: both name accounts", USAGE)
    shown = _redacted(captures, ports, case) if redact else captures
    analysis = _read(shown, known, ports, engine, keylogs, hashed=hashed, logs=logs)
    result = analysis.result
    if why_not is not None:
        _write(analysis.why_not(why_not, language=language.value))
        raise typer.Exit(0 if exit_zero else result.exit_status)
    if what_if:
        result = result._replace(what_if=analysis.what_if(limit=what_if))
    if suffixes & WITH_DIALOGUES:
        result = result._replace(dialogues=analysis.dialogues())
    for path in output or ():
        save(result, path, say)
    nothing = all(x.unread for x in result.captures) and not result.records and style is Style.TEXT
    if not nothing and (not output or style is not Style.TEXT):
        _print_result(result, style, say)
    _tell_unread(result)
    raise typer.Exit(0 if exit_zero else result.exit_status)


@app.command()
def sessions(
    captures: Captures,
    *,
    style: Format = Style.TEXT,
    ports: Ports = None,
    engine: Reader = Engine.AUTO,
    keylogs: Keylogs = None,
) -> None:
    """List mail sessions: one line per TCP connection that spoke mail."""
    columns = "uid start client server account mechanism outcome opened closed closed_by"
    _print_table(_read(captures, None, ports, engine, keylogs), "sessions", columns, style)


@app.command()
def logins(
    captures: Captures,
    *,
    style: Format = Style.TEXT,
    ports: Ports = None,
    engine: Reader = Engine.AUTO,
    keylogs: Keylogs = None,
) -> None:
    """List login attempts: one line per authentication exchange."""
    columns = "session frame decided_frame time client account workstation mechanism outcome auth_ms text"
    _print_table(_read(captures, None, ports, engine, keylogs), "logins", columns, style)


@app.command(short_help="List accounts: logins, clients, most sessions open at once.")
def accounts(
    captures: Captures,
    *,
    style: Format = Style.TEXT,
    ports: Ports = None,
    engine: Reader = Engine.AUTO,
    keylogs: Keylogs = None,
) -> None:
    """List accounts: accepted and refused logins, clients, most sessions open at once."""
    columns = "account server logins_accepted logins_refused peak_open peak_open_at clients_refused"
    _print_table(_read(captures, None, ports, engine, keylogs), "accounts", columns, style)


@app.command(short_help="Print what client and server said in one session.")
def dialogue(
    captures: Captures,
    *,
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="UID", help="Which session, such as C3; of several captures NAME:C3."),
    ] = None,
    language: Language = Tongue.EN,
    ports: Ports = None,
    engine: Reader = Engine.AUTO,
    keylogs: Keylogs = None,
) -> None:
    """Print what client and server said in one session, side by side; secrets are masked."""
    from analyzer.analysis import read

    paths = (_standard_input() if str(x) == "-" else x for x in captures)
    analysis = read(*paths, ports=ports or (), engine=engine.value, keylogs=keylogs or (), hashed=False)
    _print_ladder(analysis, *_one_session(analysis, session), _speaker(language))


@app.command(short_help="Say in plain words what one frame is and proves.")
def explain(
    captures: Captures,
    frame: Annotated[
        str,
        typer.Argument(metavar="FRAME", help="A frame number, as Wireshark counts; of several captures NAME:FRAME."),
    ],
    *,
    language: Language = Tongue.EN,
    known: Known = None,
    ports: Ports = None,
) -> None:
    """Say in plain words what one frame is, and which finding it serves."""
    from analyzer.report.second_look import split

    name, number = split(frame)
    if not number.isdecimal() or not 0 < len(number) < FRAME_DIGITS:
        _stop(
            f"The last word must be a frame number, not {frame!r}.",
            "mailscope explain CAPTURE 12; of several captures: mailscope explain A.pcap B.pcap B.pcap:12",
            USAGE,
        )
    _write(_read(captures, known, ports, Engine.AUTO).explain(int(number), capture=name, language=language.value))


@app.command(short_help="Write just the frames that prove the findings.")
def evidence(
    captures: Captures,
    *,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="A .pcapng file for the frames that prove it.")
    ] = None,
    packed: Annotated[
        Path | None, typer.Option("--pack", metavar="FILE", help="A .zip file for report, evidence and hashes.")
    ] = None,
    redact: Redact = False,
    case: Case = None,
    language: Language = Tongue.EN,
    known: Known = None,
    ports: Ports = None,
) -> None:
    """Write just the frames that prove the findings, with comments that say how; secrets are masked."""
    from analyzer.errors import OutputError
    from analyzer.report import write as save_octets
    from analyzer.report.evidence import pack

    if output is None and packed is None:
        _stop("Nothing was asked for.", "-o proof.pcapng for the frames, --pack proof.zip for all of it", USAGE)
    for path, suffix in ((output, ".pcapng"), (packed, ".zip")):
        if path is not None and path.suffix.lower() != suffix:
            _stop(f"{path.name}: this is written as a {suffix} file.", f"call it {path.stem}{suffix}", USAGE)
    shown = _redacted(captures, ports, case) if redact else captures
    analysis = _read(shown, known, ports, Engine.AUTO, hashed=packed is not None)
    try:
        proof = analysis.evidence(language=language.value)
    except OutputError:
        if any(x.unread for x in analysis.result.captures):
            _end(analysis.result)
        if packed is None:
            raise
        proof = None
    if output is not None and proof is not None:
        save_octets(output, proof)
    if packed is not None:
        originals = (
            dict(zip((x.name for x in shown), captures, strict=False)) if redact else {x.name: x for x in captures}
        )
        told = analysis.result._replace(dialogues=analysis.dialogues())
        pack(told, proof, originals, packed, _speaker(language))
    _end(analysis.result)


@app.command(short_help="Write a capture to give away: no names, no secrets.")
def redact(
    source: Annotated[Path, typer.Argument(metavar="IN", help="One capture file, or archive.zip!/member.pcap.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    *,
    case: Case = None,
    ports: Ports = None,
) -> None:
    """Write a capture that tells the same story without passwords, mail contents, names and addresses."""
    from analyzer.report.redaction import redact as write_redacted

    done = write_redacted(source, target, case=case, ports=ports or ())
    typer.echo(f"{done.frames} frames, {done.mail} of mail; of the others only time and length are left", err=True)


@app.command(short_help="Draw open sessions, refusals, clients or delays over time.")
def chart(
    captures: Captures,
    *,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="A .png or .svg file.")],
    kind: Annotated[Kind, typer.Option("--kind", help="What to draw.")] = Kind.CONNECTIONS,
    by: Annotated[
        By | None,
        typer.Option("--by", help="What a line, lane or colour stands for; words are the server's, of refusals only."),
    ] = None,
    language: Language = Tongue.EN,
    known: Known = None,
    ports: Ports = None,
    engine: Reader = Engine.AUTO,
) -> None:
    """Draw open sessions over time, refusals, a lane for each client, or how long answers took."""
    if kind is Kind.DELAYS and by is not None:
        _stop("The chart of delays has no --by.", "leave it out", USAGE)
    analysis = _read(captures, known, ports, engine)
    chosen = {} if by is None else {"by": by.value}
    getattr(analysis.chart, kind.value)(**chosen, language=language.value).save(output)
    _end(analysis.result)


@app.command(short_help="Look through many captures and folders, ranked and grouped.")
def triage(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH", help="Captures, folders, patterns, archives of captures, addresses such as https://."
        ),
    ],
    *,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="STORE",
            help="Keep the answers: a file, or postgresql://. What is in it is not done again.",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline", metavar="STORE", help="An earlier store: say which incidents are new, still there, fixed."
        ),
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write a .html .json .ndjson .csv .parquet .txt file. Repeatable."
        ),
    ] = None,
    style: Annotated[TriageStyle, typer.Option("--format", help="How to print it.")] = TriageStyle.TABLE,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes at a time; default: one per processor.")
    ] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="Limit of time per capture.")
    ] = 300.0,
    memory_mb: Annotated[
        int, typer.Option("--memory", min=64, metavar="MIB", help="Limit of memory per capture.")
    ] = 2048,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler", metavar="ADDRESS", help="A Dask scheduler, such as tcp://host:8786, whose workers do it."
        ),
    ] = None,
    exit_zero: ExitZero = False,
) -> None:
    """Look through many captures, each in a process of its own, and group what is the same incident."""
    from analyzer.triage.batch import triage as run
    from analyzer.triage.table import format_of, line, render, save

    for path in output or ():
        format_of(path)  # before the work is done
    told = style is TriageStyle.NDJSON and not output

    def progress(row: Any, done: int, total: int) -> None:
        if told:
            _write(line(row))
        elif sys.stderr.isatty():
            typer.echo(f"\r{done} of {total}  {row.name[:60]:60}", err=True, nl=done == total)

    result = run(
        paths,
        store=store or ":memory:",
        baseline=baseline,
        jobs=jobs,
        timeout_s=timeout_s,
        memory_mb=memory_mb,
        progress=progress,
        scheduler=scheduler,
    )
    for path in output or ():
        save(result, path)
    if not told and (not output or style is not TriageStyle.TABLE):
        write(render(result, style.value))
    raise typer.Exit(0 if exit_zero else result.exit_status)


@app.command(short_help="Answer captures as they are put into a folder.")
def watch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder into which captures are put.")],
    *,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", metavar="STORE", help="Keep the answers there, and not beside the captures in DIR/done."
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes at a time; default: one per processor.")
    ] = None,
    still_s: Annotated[
        float,
        typer.Option("--still", min=0.5, metavar="SECONDS", help="A file is taken when it did not change so long."),
    ] = 5.0,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="Limit of time per capture.")
    ] = 300.0,
    memory_mb: Annotated[
        int, typer.Option("--memory", min=64, metavar="MIB", help="Limit of memory per capture.")
    ] = 2048,
) -> None:
    """Answer captures as they are put into a folder; each is moved to DIR/done or DIR/failed. Ends with Ctrl-C or SIGTERM."""
    import signal
    from contextlib import ExitStack

    from analyzer.triage.store import Store
    from analyzer.triage.watch import Told
    from analyzer.triage.watch import watch as run

    def tell(told: Told) -> None:
        _write(f"{told.verdict or told.state}  {told.where}  {told.title}\n")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        kept = stack.enter_context(Store.open(store)) if store else None
        try:
            run(folder, tell=tell, store=kept, jobs=jobs, still_s=still_s, timeout_s=timeout_s, memory_mb=memory_mb)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


@app.command(short_help="Take captures on a page and by an API.")
def serve(
    *,
    store: Annotated[
        str, typer.Option("--store", metavar="FILE|URL", help="Where cases are kept: a file, or postgresql://...")
    ] = "cases.db",
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FOLDER", help="Where uploads are kept; default: beside the store.")
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, metavar="N", help="Port to listen at.")] = 8143,
    names: Annotated[
        list[str] | None, typer.Option("--name", metavar="HOST", help="A name it may be called by. Repeatable.")
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="Who may use it: lines of OWNER SHA256.")
    ] = None,
    add_token: Annotated[
        str | None, typer.Option("--add-token", metavar="OWNER", help="Make a token for OWNER, print it, and end.")
    ] = None,
    proxy: Annotated[
        str | None, typer.Option("--proxy", metavar="ADDRESS", help="A proxy that says who asks, in X-Remote-User.")
    ] = None,
    proxy_secret: Annotated[
        Path | None, typer.Option("--proxy-secret-file", metavar="FILE", help="What it must send in X-Proxy-Secret.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="FILE", help="TLS certificate, PEM.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="Its key, PEM.")] = None,
    keep_days: Annotated[
        float, typer.Option("--keep-days", min=0, metavar="N", help="Days until a capture is deleted; 0: never.")
    ] = 30.0,
    upload_gib: Annotated[
        float, typer.Option("--upload-gib", min=0.001, metavar="N", help="Size of one upload, at most.")
    ] = 4.0,
    quota_gib: Annotated[
        float, typer.Option("--quota-gib", min=0.001, metavar="N", help="Size of all captures of one owner, at most.")
    ] = 50.0,
    free_gib: Annotated[
        float, typer.Option("--free-gib", min=0, metavar="N", help="What must stay free on the disk.")
    ] = 1.0,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Captures analysed at a time; default: one per processor.")
    ] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="Limit of time per capture.")
    ] = 300.0,
    memory_mb: Annotated[
        int, typer.Option("--memory", min=64, metavar="MIB", help="Limit of memory per capture.")
    ] = 2048,
) -> None:
    """Take captures on a page and by an API, keep the queue, and show what each of them and all of them say."""
    from analyzer.service import settings as asked

    if add_token is not None:
        _give_token(tokens, add_token)
        return
    limits = asked.Limits(
        upload_bytes=int(upload_gib * asked.GIB),
        quota_bytes=int(quota_gib * asked.GIB),
        free_bytes=int(free_gib * asked.GIB),
        keep_days=keep_days,
        timeout_s=timeout_s,
        memory_mb=memory_mb,
        **({} if jobs is None else {"jobs": jobs}),
    )
    wanted = asked.Settings(
        store=store,
        data=data or asked.data_beside(store),
        host=host,
        port=port,
        names=tuple(names or ()),
        tokens=tokens,
        proxy=asked.proxy_of(proxy, proxy_secret),
        certificate=certificate,
        key=key,
        limits=limits,
    )
    from analyzer.service.run import serve as run

    run(wanted, lambda address: typer.echo(f"mailscope: serving on {address}", err=True))


def _give_token(tokens: Path | None, owner: str) -> None:
    from analyzer.service.identity import add_token

    if tokens is None:
        _stop("There is no file to keep the token's hash in.", "--token-file FILE --add-token OWNER", USAGE)
    _write(f"{add_token(tokens, owner)}\n")
    typer.echo(f"mailscope: this is {owner}'s token; it is shown this once, and only its hash is kept", err=True)


@app.command(short_help="Print what to do about a cause: look, change, check, undo.")
def remedy(
    cause: Annotated[
        str, typer.Argument(metavar="CAUSE", help="A cause or a remedy's id, such as per-user-connection-limit.")
    ],
    *,
    server: Annotated[
        str | None, typer.Option("--server", metavar="PRODUCT", help="Such as exchange-2010-sp2 or dovecot.")
    ] = None,
    agents: Annotated[
        int | None, typer.Option("--agents", metavar="N", min=1, max=1_000_000, help="How many agents work at once.")
    ] = None,
    per_agent: Annotated[
        int, typer.Option("--per-agent", metavar="N", min=1, max=1000, help="Connections of one agent.")
    ] = 2,
    protocol: Annotated[Protocol, typer.Option("--protocol", help="Whose settings.")] = Protocol.IMAP,
    host: Annotated[
        str, typer.Option("--host", metavar="NAME", help="The server's own name, put into the commands.")
    ] = "",
    account: Annotated[str, typer.Option("--account", metavar="NAME", help="The mailbox, put into the commands.")] = "",
    style: Annotated[
        PageStyle, typer.Option("--format", help="Text, Markdown or a PowerShell script.")
    ] = PageStyle.TEXT,
    language: Language = Tongue.EN,
) -> None:
    """Print what to do about a cause: look, change, look again, undo; with the numbers filled in."""
    from analyzer.remedies import ask
    from analyzer.report.remedy_page import page

    facts: dict[str, float | str] = {"per_client": per_agent, "protocol": protocol.value}
    say = _speaker(language)
    found = ask(facts | ({"agents": agents} if agents else {}), cause, server, say=say)
    names = {"server": host, "account": account, "mailbox": account}
    _write(page(found, names, style.value, say))


@app.command(short_help="Connect to a mail server and tell what answers.")
def probe(
    host: Annotated[str, typer.Argument(metavar="HOST", help="Name or address of a mail server.")],
    *,
    port: Annotated[int, typer.Option("--port", metavar="N", min=1, max=65535, help="Its port.")] = 143,
    tls: Annotated[bool, typer.Option("--tls", help="Begin with TLS; on 993, 995 and 465 always so.")] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.1, max=300, help="How long to wait for each answer.")
    ] = 10.0,
    style: Annotated[ProbeStyle, typer.Option("--format", help="How to print it.")] = ProbeStyle.TEXT,
    language: Language = Tongue.EN,
) -> None:
    """Connect to a mail server and tell what answers, without logging in. Status 0: greeted, 10: not."""
    import json

    from analyzer.probe import probe as knock
    from analyzer.report.probed import document, healthy, text

    found = knock(host, port, tls=tls or None, timeout_s=timeout_s)
    made = json.dumps(document(host, port, found), ensure_ascii=False, indent=1) + "\n"
    _write(made if style is ProbeStyle.JSON else text(host, port, found, _speaker(language)))
    raise typer.Exit(0 if healthy(found) else 10)


@app.command()
def rules(
    rule: Annotated[str | None, typer.Argument(metavar="ID", help="Show this rule's manual page.")] = None,
) -> None:
    """List the rules, or print one rule's manual page."""
    from analyzer.rules import Habit, Rule, load_habits, load_rules, page_of

    known: list[Rule | Habit] = [*load_rules(), *load_habits()]
    if rule is None:
        _write("".join(f"{x.id:32} {x.title}\n" for x in known))
        return
    page = next((page_of(x) for x in known if x.id == rule.replace("_", "-")), None)
    if page is None:
        _stop(f"There is no rule {rule!r}.", "'mailscope rules' lists them.", USAGE)
    _write(page.strip() + "\n")


@app.command()
def fields(
    record: Annotated[
        str | None,
        typer.Argument(metavar="RECORD", help="session, login, account, capture, records, finding, evidence."),
    ] = None,
) -> None:
    """Explain the fields of a record: name, type, unit and meaning."""
    from analyzer.fields import fields as fields_of

    known = _records()
    if record is not None and record.lower() not in known:
        _stop(f"There is no record {record!r}.", f"Records: {' '.join(known)}", USAGE)
    for name in known if record is None else (record.lower(),):
        _write(
            f"{name}\n" + "".join(f"  {x.name:18} {x.type:26} {x.doc}".rstrip() + "\n" for x in fields_of(known[name]))
        )


@app.command()
def schema() -> None:
    """Print the JSON Schema (2020-12) of 'report --format json'."""
    import json

    from analyzer.report.model import schema as schema_of

    _write(json.dumps(schema_of(), indent=1) + "\n")


@app.command()
def doctor() -> None:
    """Tell what is installed and which formats can be read."""
    import platform
    import shutil
    from importlib.metadata import PackageNotFoundError, version

    _write(f"mailscope   {__version__}\npython      {platform.python_version()} on {platform.system()}\n")
    for package in ("matplotlib", "numpy", "pandas", "pydantic", "pyshark", "rich", "scapy", "typer", *OPTIONAL):
        try:
            _write(f"{package:11} {version(package)}\n")
        except PackageNotFoundError:
            _write(f"{package:11} missing{f' (only needed {OPTIONAL[package]})' if package in OPTIONAL else ''}\n")
    tshark = shutil.which("tshark")
    _write(f"tshark      {'yes' if tshark else 'no (needed only for --keylog, --engine tshark and rare formats)'}\n")
    from analyzer.capture.formats import READS

    _write(f"reads       {READS}; --engine tshark: what Wireshark reads\n")
    from analyzer.sessions.records import READS as LOGS

    _write(f"logs        {LOGS}\n")
    from analyzer.report import RENDERERS

    _write(f"writes      {' '.join(RENDERERS)}\n")
    from analyzer.triage.isolated import protection

    _write(f"isolates    {protection()}\n")


def _records() -> dict[str, type]:
    from analyzer.report.result import Conclusion
    from analyzer.rules.finding import Evidence, Finding
    from analyzer.sessions.accounts import Account
    from analyzer.sessions.coverage import CaptureSeen
    from analyzer.sessions.records import LogSeen
    from analyzer.sessions.session import Login, Session

    kinds = (Session, Login, Account, CaptureSeen, LogSeen, Finding, Evidence, Conclusion)
    names = ("session", "login", "account", "capture", "records", "finding", "evidence", "conclusion")
    return dict(zip(names, kinds, strict=True))


def _read(
    captures: Sequence[Path],
    known: Sequence[str] | None,
    ports: Sequence[int] | None,
    engine: Engine,
    keylogs: Sequence[Path] | None = None,
    *,
    hashed: bool = False,
    logs: Sequence[Path] | None = None,
) -> Analysis:
    from analyzer.analysis import read

    with progress() as watch:
        return read(
            *(_standard_input() if str(x) == "-" else x for x in captures),
            known=known or (),
            ports=ports or (),
            engine=engine.value,
            strict=False,
            hashed=hashed,
            keylogs=keylogs or (),
            logs=logs or (),
            watch=watch,
        )


def _speaker(language: Tongue) -> Callable[[str], str]:
    from analyzer.language import speaker

    return speaker(language.value)


def _redacted(captures: Sequence[Path], ports: Sequence[int] | None, case: str | None) -> list[Path]:
    """Redact captures into a folder that lives as long as this process; return what they are called there."""
    import atexit
    import shutil
    import tempfile

    from analyzer.inputs import expand
    from analyzer.report.redaction import redact_all

    folder = Path(tempfile.mkdtemp(prefix="mailscope-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    given = [_standard_input() if str(x) == "-" else x for x in captures]
    return redact_all(expand(given), folder, case=case, ports=ports or ())


def _standard_input() -> Path:
    """Save what comes from standard input for as long as this process lives: some verbs read a capture twice."""
    import atexit
    import shutil
    import tempfile

    from analyzer.capture.content import STANDARD_INPUT
    from analyzer.capture.spool import save

    if sys.stdin.isatty():
        _stop("Nothing comes from standard input.", "dumpcap -w - | mailscope -", USAGE)
    folder = Path(tempfile.mkdtemp(prefix="mailscope-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    save(sys.stdin.buffer, folder / STANDARD_INPUT)
    return folder / STANDARD_INPUT


def _print_result(result: Result, style: Style, say: Callable[[str], str]) -> None:
    if style is Style.TEXT and sys.stdout.isatty():
        from analyzer.report.terminal import console_for, show

        show(result, console_for(), say)
        return
    from analyzer.report import RENDERERS, text

    _write((text(result, say) if style is Style.TEXT else RENDERERS[f".{style.value}"](result)).decode())


def _one_session(analysis: Analysis, asked: str | None) -> tuple[str, str | None]:
    """Return the uid and the capture of the session that is asked for: the only one needs no name."""
    from analyzer.report.second_look import split

    if asked is not None:
        name, uid = split(asked)
        return uid, name
    uids = [s.uid for s in analysis.result.sessions]
    if len(uids) != 1:
        few = ", ".join(uids[:UIDS_SHOWN]) + (" ..." if len(uids) > UIDS_SHOWN else "")
        _stop("Which session?", f"--session with one of {few}; 'mailscope sessions' lists them" * bool(uids), USAGE)
    return uids[0], None


def _print_ladder(analysis: Analysis, session: str, capture: str | None, say: Callable[[str], str]) -> None:
    from analyzer.report.ladder import ladder

    about = analysis.find_session(session, capture)
    said = analysis.dialogue(session, about.capture)
    name = about.capture if len(analysis.result.captures) > 1 else ""
    if sys.stdout.isatty():
        from analyzer.report.terminal import console_for, show_lines

        console = console_for()
        show_lines(ladder(said, about, console.width, say, name), console)
    else:
        from analyzer.report.layout import plain

        _write(plain(ladder(said, about, 80, say, name)))


def _print_table(analysis: Analysis, name: str, columns: str, style: Style) -> None:
    """Print one of the result's tables; text shows ``columns``, CSV and JSON all of them."""
    from analyzer.report.model import document

    rows: list[dict[str, Any]] = document(analysis.result)[name]
    if style is Style.JSON:
        import json

        _write(json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    elif style is Style.CSV:
        from analyzer.report.cells import to_csv

        _write(to_csv(rows, list(rows[0]) if rows else columns.split()))
    else:
        from analyzer.report.terminal import console_for, table, table_text

        several = ["capture"] if len(analysis.result.captures) > 1 and name != "accounts" else []
        chosen = several + columns.split()
        if sys.stdout.isatty():
            table(rows, chosen, console_for())
        else:
            _write(table_text(rows, chosen))
    _end(analysis.result)


def _tell_unread(result: Result) -> bool:
    """Name on standard error each capture that could not be read, and tell whether there was one."""
    unread = [x for x in result.captures if x.unread]
    for seen in unread:
        reason, *hints = seen.quality.reasons or (seen.state.replace("_", " "),)
        typer.echo(f"mailscope: {seen.name}: {reason}", err=True)
        for hint in hints:
            typer.echo(f"  {hint}", err=True)
    return bool(unread)


def _end(result: Result) -> None:
    """End a verb that gives no verdict."""
    raise typer.Exit(UNREADABLE if _tell_unread(result) else 0)


def _write(text: str) -> None:
    """Write to standard output, as UTF-8 whatever the locale says."""
    write(text.encode("utf-8", "replace"))


def _stop(message: str, hint: str, status: int) -> NoReturn:
    """Say one sentence and what to do on standard error, and end."""
    typer.echo(f"mailscope: {message}" + (f"\n  {hint}" if hint else ""), err=True)
    raise typer.Exit(status)


def arguments(given: Iterable[str]) -> list[str]:
    """Put 'report' in front when the first word is no verb: 'mailscope CAPTURE' reports."""
    words = list(given)
    if words and words[0] not in {*VERBS, "-h", "--help", "--version"}:
        return ["report", *words]
    return words


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    words = arguments(x for x in given if x not in DEBUG_FLAGS)
    if words == ["--version"]:
        _write(f"mailscope {__version__}\n")
        sys.exit(0)
    if given and words != given and _is_no_file(words[1]):
        typer.echo(f"mailscope: {_mistyped(words[1])}", err=True)
        sys.exit(USAGE)
    sys.exit(_run(words, debug=any(x in DEBUG_FLAGS for x in given)))


def _is_no_file(word: str) -> bool:
    """Tell whether a first word is neither a file nor looks like one: a verb in other letters, most likely."""
    return word.replace("-", "").isalpha() and not word.startswith("-") and not Path(word).exists()


def _mistyped(word: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), VERBS, 1)
    meant = f"did you mean 'mailscope {near[0]}'?" if near else "'mailscope --help' lists the verbs"
    return f"there is no verb and no file {word!r}\n  {meant}"


def _run(words: list[str], *, debug: bool) -> int:
    from analyzer.errors import AnalyzerError

    try:
        app(words, prog_name="mailscope", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else OUR_BUG
    except AnalyzerError as error:
        if debug:
            raise
        return _explain(error)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # whatever escapes is our bug, told in one sentence
        if debug:
            raise
        typer.echo(
            f"mailscope: a bug of ours: {type(error).__name__}: {error}\n  --debug shows where; please report it.",
            err=True,
        )
        return OUR_BUG
    return 0


def _explain(error: AnalyzerError) -> int:
    from analyzer.errors import CaptureError, RuleError
    from analyzer.text import clean

    named = (
        f"{clean(error.path.name)}: " if isinstance(error, CaptureError) and error.path.name not in str(error) else ""
    )
    typer.echo(f"mailscope: {named}{error}" + (f"\n  {error.hint}" if error.hint else ""), err=True)
    return UNREADABLE if isinstance(error, CaptureError) else OUR_BUG if isinstance(error, RuleError) else USAGE


if __name__ == "__main__":
    main()
