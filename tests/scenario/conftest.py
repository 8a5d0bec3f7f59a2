# SPDX-License-Identifier: Apache-2.0
import os
import signal

import pytest

from lib.host import SLOW, Failed, sweep
from lib.reports import Reports
from lib.world import World

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
TEST_MAX_S = 120


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "error::pytest.PytestUnhandledThreadExceptionWarning")


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        pytest.exit("scenarios make network namespaces and need root", returncode=SKIPPED)
    sweep()


@pytest.fixture(autouse=True)
def bounded():
    """No test hangs: after two minutes it fails where it stands."""
    def too_long(number, frame):
        raise Failed(f"the test took more than {TEST_MAX_S * SLOW:.0f} s")
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(int(TEST_MAX_S * SLOW))
    yield
    signal.alarm(0)


@pytest.fixture(scope="session", autouse=True)
def every_report():
    """Set up before all else and torn down last: it sees what daemons report while they end."""
    reports = Reports()
    yield reports
    reports.close()


@pytest.fixture(autouse=True)
def no_report(every_report):
    yield
    every_report.check()


@pytest.fixture
def world():
    """A network of the test's own, with a CA and no nodes yet."""
    with World() as made:
        yield made


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed and call.when == "call":
        for other in World.alive:
            report.sections += other.tails()
