"""Places for faults, callers and crowds that are checked, and the scoreboard.

* `place`: a running topology. A module says on which it makes sense:
  `TOPOLOGIES = ("single", "cluster")`, `FLAVOURS = ("valkey", "redis")` (or by
  topology: `{"single": ("valkey", "redis")}`, the others on valkey alone), and
  `SETTINGS = ("appendonly yes",)` for the servers; a test may narrow it down by
  `@pytest.mark.topologies("cluster")`, and have `@pytest.mark.settings(...)`.
* `caller`: makes a cache answer in the test's colour, timed.
* `workload`: makes a crowd of threads and tasks, each with a ledger.
* `record`: notes figures for the scoreboard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.colours import Colour
from tests.faults import scoreboard
from tests.faults.caller import ROOM, Caller
from tests.faults.places import TOPOLOGIES, Place, Places
from tests.faults.pulse import Pulse
from tests.faults.workload import Load

Record = Callable[..., None]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "topologies(*names): of its module's, only these"
    )
    config.addinivalue_line("markers", "settings(*lines): of the servers' redis.conf")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" not in metafunc.fixturenames:
        return
    wanted = getattr(metafunc.module, "TOPOLOGIES", ("single",))
    marker = metafunc.definition.get_closest_marker("topologies")
    if marker is not None:
        wanted = marker.args
    assert set(wanted) <= set(TOPOLOGIES), wanted
    if metafunc.config.getoption("--places") == "few":
        # As elsewhere: one server and a cluster, where a test runs on these.
        wanted = [each for each in wanted if each in ("single", "cluster")] or wanted
    flavours = getattr(metafunc.module, "FLAVOURS", ("valkey",))
    if not isinstance(flavours, dict):
        flavours = dict.fromkeys(TOPOLOGIES, flavours)
    pairs = [
        (topology, flavour)
        for topology in wanted
        for flavour in flavours.get(topology, ("valkey",))
    ]
    metafunc.parametrize(
        "place", pairs, indirect=True, ids=[f"{t}-{f}" for t, f in pairs]
    )


@pytest.fixture(scope="session")
def groups() -> Iterator[Places]:
    """The groups of servers that serve many tests of faults."""
    with Places() as groups:
        yield groups


@pytest.fixture
def place(
    request: pytest.FixtureRequest, groups: Places, cache_on: Any
) -> Iterator[Place]:
    """Return a place of the test's own, to be hurt as it likes."""
    topology, flavour = request.param
    settings = tuple(getattr(request.module, "SETTINGS", ()))
    marker = request.node.get_closest_marker("settings")
    if marker is not None:
        settings = marker.args
    request.node.user_properties.append(("topology", topology))
    with groups.standing(topology, flavour, cache_on, settings) as found:
        yield found


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Return a function that notes figures of the test: `record(held=0.21)`.

    What they are called decides how several tests' are put together: see
    `scoreboard.WORST`; everything else is added up.
    """

    def note(**figures: float) -> None:
        request.node.user_properties.append(("figures", figures))

    return note


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    with Pulse() as pulse:
        yield pulse


@pytest.fixture
def caller(
    colour: Colour, pulse: Pulse, record: Record
) -> Iterator[Callable[[Any], Caller]]:
    """Return a function that makes a cache a timed caller in the test's colour."""
    made: list[Caller] = []

    def make(cache: Any) -> Caller:
        made.append(Caller(cache, colour, pulse))
        return made[-1]

    yield make
    for each in made:
        longest, fairly = each.held()
        slots = each.left_in_use()
        answered, failed = each.answered, each.failed
        record(operations=answered + failed, answered=answered, held=longest)
        record(slots=slots)
        assert fairly <= each.deadline + ROOM, (
            f"held {longest} s, {fairly} s of it ours"
        )
        assert slots == 0


@pytest.fixture
def workload(record: Record, request: pytest.FixtureRequest) -> Callable[..., Load]:
    """Return a function that makes a crowd: `with workload(cache, threads=8)`."""
    known: dict[str, Any] = {"record": record}
    if "place" in request.fixturenames:
        place: Place = request.getfixturevalue("place")
        known.update(quiet=place.quiet, tolerates=place.tolerates)
    return lambda cache, **how: Load(cache, **known, **how)


# -- the scoreboard -----------------------------------------------------------

_BOARD = scoreboard.Board()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        module = item.getparent(pytest.Module)
        if module is not None and Path(__file__).parent in module.path.parents:
            about = module.obj.__doc__ or module.path.stem
            item.user_properties.append((scoreboard.TITLE, about))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _BOARD.note(report)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    found = _BOARD.results()
    if not found["faults"]:
        return
    terminalreporter.section("faults")
    for line in scoreboard.matrix(found).splitlines():
        terminalreporter.write_line(line)
    if target := config.getoption("--scoreboard"):
        scoreboard.write(Path(target), found)
