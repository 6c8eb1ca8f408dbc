"""The four deploys of a migration, and each step back, as the docs promise them.

The settings come from the page itself. Processes of the old package and of ours
run side by side on the keys of a real server, and read what the other wrote while
both write.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.migration.fleet import Fleet
from tests.migration.page import deploys
from tests.migration.population import COUNTER, POPULATIONS, TIMEOUT
from tests.servers import Server

# Forward through the four deploys, and back; neighbours run side by side.
ROUTE = [0, 1, 2, 3, 4, 3, 2, 0]

JSON = {
    "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
    "COMPRESSOR": "django_redis.compressors.gzip.GzipCompressor",
}

MakeFleet = Callable[..., Fleet]


@pytest.fixture
def make_fleet(cold_server: Callable[..., Server]) -> MakeFleet:
    def make(flavour: str, *args: Any, **options: Any) -> Fleet:
        return Fleet(cold_server(flavour), *args, **options)

    return make


@pytest.mark.parametrize(
    ("flavour", "prefix", "population", "options"),
    [
        ("valkey", "", "everything", {}),
        ("redis", "", "portable", JSON),
        ("redis", "django-", "everything", {}),
    ],
    ids=["django-redis", "django-redis-json", "django"],
)
def test_a_fleet_migrates_under_load_and_goes_back_without_a_miss_or_an_error(
    make_fleet: MakeFleet,
    flavour: str,
    prefix: str,
    population: str,
    options: dict[str, Any],
) -> None:
    fleet = make_fleet(flavour, prefix, population, options=options)
    store = fleet.server.client(db=1)
    store.set(f":1:{COUNTER}", 0, ex=TIMEOUT)
    generations = itertools.cycle(range(10))
    total = 0
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(fleet.pod(ROUTE[0]))
        for before, after in itertools.pairwise(ROUTE):
            step = f"deploys {before} and {after}"
            generation = next(generations)
            # What the fleet left behind, the newcomer reads.
            old.do("write", generation)
            new = stack.enter_context(fleet.pod(after))
            assert new.do("read", generation) == [], step
            # What the newcomer writes, the fleet reads.
            generation = next(generations)
            new.do("write", generation)
            assert old.do("read", generation) == [], step
            assert _times_to_live_are_kept(store, population), step
            # And so on, both at once, by calls and in event loops.
            for report in fleet.share([old, new]):
                assert report["wrong"] == [], step
                total += report["counted"]
            assert int(store.get(f":1:{COUNTER}") or 0) == total, step
            old = new


@pytest.mark.parametrize("prefix", ["", "django-"], ids=["django-redis", "django"])
def test_an_old_process_fails_on_sealed_values_so_the_order_matters(
    make_fleet: MakeFleet, prefix: str
) -> None:
    fleet = make_fleet("valkey", prefix)
    with fleet.pods(0, 3) as (old, new):
        new.do("write", 1)
        wrong = old.do("read", 1)
    assert {_key(line) for line in wrong} == _sealed_keys() | {""}
    assert not [line for line in wrong if "missing" in line]


def test_an_old_process_fails_on_sealed_values_even_when_it_ignores_exceptions(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("valkey")
    fleet.deploys[0]["default"]["OPTIONS"]["IGNORE_EXCEPTIONS"] = True
    with fleet.pods(0, 3) as (old, new):
        new.do("write", 1)
        wrong = old.do("read", 1)
    assert {_key(line) for line in wrong} == _sealed_keys() | {""}


@pytest.mark.parametrize("prefix", ["", "django-"], ids=["django-redis", "django"])
def test_what_is_left_in_the_old_format_is_a_miss_once_it_is_dropped(
    make_fleet: MakeFleet, prefix: str
) -> None:
    fleet = make_fleet("valkey", prefix)
    with fleet.pods(0, 4) as (old, new):
        old.do("write", 1)
        wrong = new.do("read", 1)
    assert {line for line in wrong if not line.endswith(": missing")} == set()
    assert {_key(line) for line in wrong} == _sealed_keys()


def test_the_page_prints_settings_for_every_deploy() -> None:
    assert set(deploys()) == set(range(5))
    assert set(deploys("django-")) == set(range(5))


def _times_to_live_are_kept(store: Any, population: str) -> bool:
    """Whether every key, the counter too, has what is left of its time-out."""
    keys = [*POPULATIONS[population](0), COUNTER]
    left = [store.pttl(f":1:{key}") for key in keys]
    return all(TIMEOUT * 500 < each <= TIMEOUT * 1000 for each in left)


def _sealed_keys() -> set[str]:
    """Return the keys whose values are sealed: all but integers of 64 bits."""
    plain = {"int", "int:negative", "int:64"}
    return set(POPULATIONS["everything"](0)) - plain


def _key(line: str) -> str:
    """Return the key in a line of what went wrong; "" for the whole `get_many`."""
    return line.partition(": ")[0].partition(" ")[2]
