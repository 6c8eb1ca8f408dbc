"""The server resets the connection in the middle of an answer."""

import pytest

from redpony.errors import Unavailable
from tests.hostile import FakeServer


def resets_after_the_first_command(peer):
    peer.greet()
    peer.send(b"$5\r\nva")
    peer.reset()


def test_a_read_says_that_the_server_is_unavailable(cache_on, both):
    with FakeServer(resets_after_the_first_command) as fake:
        cache = both(cache_on(None, LOCATION=fake.url, RETRIES=0))
        with pytest.raises(Unavailable):
            cache.get("a")


def test_a_write_says_that_its_outcome_is_unknown(cache_on, both):
    with FakeServer(resets_after_the_first_command) as fake:
        cache = both(cache_on(None, LOCATION=fake.url, RETRIES=0))
        with pytest.raises(Unavailable) as caught:
            cache.incr("a")
    assert caught.value.outcome == "unknown"
