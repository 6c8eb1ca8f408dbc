"""`REDPONY["REALTIME"]`: read once, and refused with the remedy."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from redpony.conf import Misconfigured, RealtimeSettings, realtime_settings


def test_what_is_not_set_is_the_default() -> None:
    with override_settings(REDPONY={}):
        assert realtime_settings() == RealtimeSettings()
    with override_settings(REDPONY={"LOCKS": {"LEASE": 7}}):
        assert realtime_settings() == RealtimeSettings()


def test_what_is_set_is_read_again_when_it_changes() -> None:
    for size in (5, 6):
        with override_settings(REDPONY={"REALTIME": {"HISTORY": size, "TTL": 60}}):
            read = realtime_settings()
            assert (read.history, read.ttl) == (size, 60)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"HISTROY": 1}, 'Did you mean "HISTORY"?'),
        ({"HISTORY": -1}, "takes a whole number of at least 0, such as 1000. It is -1"),
        ({"HISTORY": True}, "takes a whole number of at least 0"),
        ({"TTL": "day"}, "takes a number of seconds, more than 0, such as 20"),
        ({"BUFFER": 10}, "takes a whole number of at least 1024"),
        ({"ORIGINS": "https://a.example"}, "takes a list of origins"),
        ({"ORIGINS": ["a.example"]}, "takes a list of origins"),
        ({"ALIAS": "defualt"}, 'Did you mean "default"?'),
        ([], 'takes a dict such as {"ALIAS": "default"}'),
    ],
)
def test_what_cannot_be_used_is_an_error_with_the_remedy(
    given: Any, expected: str
) -> None:
    with (
        override_settings(REDPONY={"REALTIME": given}),
        pytest.raises(Misconfigured) as caught,
    ):
        realtime_settings()
    assert 'REDPONY["REALTIME"]' in str(caught.value)
    assert expected in str(caught.value)


def test_an_alias_that_is_not_in_redis_is_refused() -> None:
    memory = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    with (
        override_settings(
            CACHES={"default": memory}, REDPONY={"REALTIME": {"ALIAS": "default"}}
        ),
        pytest.raises(Misconfigured, match="channels live there"),
    ):
        realtime_settings()
