"""The filter of system calls: what it says for each processor, and where there is none."""

import platform
import sys
from collections.abc import Iterator

import pytest

from analyzer.triage import sealed

REFUSED, ALLOWED, KILLED = 0x00050001, 0x7FFF0000, 0x80000000


@pytest.fixture(autouse=True)
def _not_remembered() -> Iterator[None]:
    sealed.prepared.cache_clear()
    yield
    sealed.prepared.cache_clear()


def outcome(machine: str, number: int, *, audit: int | None = None, argument: int = 0, programs: bool = False) -> int:
    """Run the filter as the kernel would."""
    known = sealed.MACHINES[machine]
    data = {0: number, 4: known.audit if audit is None else audit, 16: argument}
    steps, at, value = list(sealed._filter(known, programs=programs)), 0, 0
    while True:
        operation, when_true, when_false, operand = steps[at]
        if operation == 0x06:
            return operand
        if operation == 0x20:
            value, at = data[operand], at + 1
        else:
            holds = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[operation]
            at += 1 + (when_true if holds else when_false)


@pytest.mark.parametrize("machine", sealed.MACHINES)
def test_each_call_has_its_outcome(machine: str) -> None:
    numbers = sealed.MACHINES[machine].numbers
    assert all(outcome(machine, numbers[name], programs=True) == REFUSED for name in sealed.NEVER)
    assert all(outcome(machine, numbers[name]) == REFUSED for name in sealed.STARTING if name in numbers)
    assert all(outcome(machine, numbers[name], programs=True) == ALLOWED for name in sealed.STARTING if name in numbers)
    assert outcome(machine, numbers["clone"]) == REFUSED
    assert outcome(machine, numbers["clone"], argument=0x3D0F00) == ALLOWED  # as a thread is made
    assert outcome(machine, numbers["clone3"]) == 0x00050026  # ENOSYS: the C library takes clone then
    assert outcome(machine, numbers["socket"], argument=2, programs=True) == REFUSED  # AF_INET
    assert outcome(machine, numbers["socket"], argument=16) == ALLOWED  # AF_NETLINK
    assert outcome(machine, 0) == ALLOWED
    assert outcome(machine, 0, audit=0x40000003) == KILLED  # the calls of 32-bit programs
    assert outcome(machine, 0x40000000 | 41) == REFUSED


def test_another_processor_or_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert not sealed.seal(programs=True)
    sealed.prepared.cache_clear()
    monkeypatch.undo()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not sealed.seal(programs=True)
