"""Fixtures every test may ask for."""

import os
import shutil

import pytest
from hypothesis import settings

from tests.secured import Pair, make_pair

settings.register_profile("any machine", deadline=None)  # a busy one is no fault of the code
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def tshark() -> str:
    """The path of tshark; without it the test is skipped, or fails where MAILSCOPE_REQUIRE_TSHARK says it must be there."""
    path = shutil.which("tshark")
    if path is None and os.environ.get("MAILSCOPE_REQUIRE_TSHARK") == "1":
        pytest.fail("tshark is not installed, and MAILSCOPE_REQUIRE_TSHARK=1 says it must be")
    if path is None:
        pytest.skip("tshark is not installed")
    return path


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A certificate and its key; without openssl the test is skipped."""
    made = make_pair(tmp_path_factory.mktemp("certificate"))
    if made is None:
        pytest.skip("openssl is not installed")
    return made


@pytest.fixture(scope="session")
def editcap() -> str:
    """The path of editcap, which comes with tshark; without it the test is skipped."""
    path = shutil.which("editcap")
    if path is None:
        pytest.skip("editcap is not installed")
    return path
