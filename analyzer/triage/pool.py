"""Many captures at a time: paths in, answers out as they are done, here or on a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from analyzer import __version__
from analyzer.errors import AnalyzerError
from analyzer.triage.isolated import Answer, isolated
from analyzer.triage.spares import Spares

AHEAD = 4
"""Captures handed out for each that runs: enough that no processor waits, few enough that answers do not pile up."""
AHEAD_ON_DASK = 1000
"""The same for a whole cluster, whose size may change."""
CONNECT_S = 30.0
"""Longest time for the scheduler to answer and for a first worker to be there."""
Key = TypeVar("Key")
Value = TypeVar("Value")
DASK = "pip install 'mailscope[dask]', here and on the workers"


def answers(
    captures: Iterable[tuple[Key, Path]], *, jobs: int | None = None, scheduler: str | None = None, **settings: Any
) -> Generator[tuple[Key, Answer]]:
    """Yield what each capture goes by and its answer, as they are done; close the generator to stop what runs.

    Args:
        captures: What each goes by, and where it is; asked for a few ahead of the answers.
        jobs: Processes at a time here; as many as processors when None.
        scheduler: Address of a Dask scheduler whose workers do it instead, such as tcp://host:8786.
        settings: Keyword arguments of :func:`analyzer.triage.isolated.isolated`.

    Raises:
        AnalyzerError: the cluster cannot be used.
    """
    if scheduler:
        return _on_dask(iter(captures), scheduler, settings)
    return at_once(((key, partial(_ask, path, settings)) for key, path in captures), jobs)


def _ask(path: Path, settings: Mapping[str, Any], spares: Spares) -> Answer:
    return isolated(path, spares=spares, **settings)


def at_once(
    tasks: Iterable[tuple[Key, Callable[[Spares], Value]]], jobs: int | None = None
) -> Generator[tuple[Key, Value]]:
    """Yield what each task goes by and what it returns, as they are done; close the generator to stop what runs.

    Args:
        tasks: What each goes by, and what to call with the spare processes to use; asked for a few ahead of the answers.
        jobs: Tasks at a time; as many as processors when None.
    """
    spares, rest, most = Spares(), iter(tasks), jobs or os.cpu_count() or 1
    threads = ThreadPoolExecutor(most)
    waiting: dict[Future[Value], Key] = {}
    try:
        while True:
            for key, task in islice(rest, AHEAD * most - len(waiting)):
                waiting[threads.submit(task, spares)] = key
            if not waiting:
                return
            for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(done), done.result()
    finally:  # Ctrl-C above all: the processes do not hear it, and must not be waited for
        threads.shutdown(wait=False, cancel_futures=True)
        spares.close()
        threads.shutdown()


def _on_dask(
    rest: Iterator[tuple[Key, Path]], address: str, settings: Mapping[str, Any]
) -> Generator[tuple[Key, Answer]]:
    """Let a cluster do it; captures are read by the workers, under the same paths.

    A lost worker's captures go to others. One that was lost with its workers again and again (the scheduler's
    ``allowed-failures``) is given up, by name.
    """
    try:
        from distributed import KilledWorker, as_completed
    except ImportError as error:
        raise AnalyzerError("--scheduler needs Dask", hint=DASK) from error
    client = _client(address)
    keys: dict[Any, Key] = {}
    try:
        running = as_completed(loop=client.loop)

        def hand_out(most: int) -> None:
            for key, path in islice(rest, most):
                future = client.submit(isolated, str(path.absolute()), **settings, pure=False)
                keys[future] = key
                running.add(future)

        hand_out(AHEAD_ON_DASK)
        for future in running:
            key = keys.pop(future)
            if future.status == "finished":
                yield key, future.result()
            elif isinstance(lost := future.exception(), KilledWorker):
                times = lost.allowed_failures + 1
                yield key, Answer("error", f"lost with its worker ({times} of {times} times)", None)
            else:
                raise AnalyzerError(f"the cluster failed: {type(lost).__name__}: {lost}", hint=DASK)
            future.release()
            hand_out(1)
    finally:
        client.cancel(list(keys), force=True)
        client.close()


def _client(address: str) -> Any:
    """Connect, and make sure that the workers are there and are of this version.

    Raises:
        AnalyzerError: the cluster cannot be used.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise AnalyzerError(f"no Dask scheduler at {address}: {error}", hint="dask scheduler --host ...") from error
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
        versions = set(client.run(_version).values())
    except TimeoutError as error:
        client.close()
        raise AnalyzerError(f"the scheduler at {address} has no workers", hint=f"dask worker {address}") from error
    except ImportError as error:
        client.close()
        raise AnalyzerError(f"a worker has no mailscope: {error}", hint=DASK) from error
    if versions != {__version__}:
        client.close()
        raise AnalyzerError(f"workers have mailscope {', '.join(sorted(versions))}, this is {__version__}", hint=DASK)
    return client


def _version() -> str:
    return __version__
