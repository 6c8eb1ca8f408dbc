"""A place behind proxies: what fails is the way to its servers, not they themselves.

A module whose fault is the network's says

    @pytest.fixture
    def place(place):
        with Network(place) as network:
            yield network

and its tests use `place` as those of other faults do. What the servers announce is
translated (`ADDRESS_REMAP`), so that no client finds a way past the proxies.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Self

from redpony import events
from redpony.testing.chaos import Proxies
from tests.wire.links import until, waiting_at


class Network:
    """The proxies before a place's servers (and sentinels), and caches behind them."""

    def __init__(self, place: Any) -> None:
        self._place = place
        everybody = [*place.servers, *getattr(place.handle, "sentinels", ())]
        self.proxies = Proxies(everybody, seed=1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._place, name)

    def __repr__(self) -> str:
        return f"<behind proxies: {self._place!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.proxies.close()

    @property
    def location(self) -> str:
        hosts = [str(self.proxies[server].address) for server in self.servers]
        if self.topology == "sentinel":
            known = [str(self.proxies[each].address) for each in self.handle.sentinels]
            return f"redis+sentinel://{','.join(known)}/{self.handle.service}/0"
        if self.topology == "cluster":
            return f"redis+cluster://{','.join(hosts)}"
        return ",".join(f"redis://{host}/0" for host in hosts)

    def cache(self, **given: Any) -> Any:
        """Return a cache on this place; arguments as for `cache_on`."""
        if self.topology != "single":
            given.setdefault("ADDRESS_REMAP", self.proxies.remap)
        return self._place._cache_on(None, LOCATION=self.location, **given)

    # -- what happens to all connections -------------------------------------------

    def hurt(self, fault: str, *args: Any, **kwargs: Any) -> None:
        """Ask all proxies for one fault: `hurt("latency", 100, jitter=20)`."""
        for proxy in self.proxies:
            getattr(proxy, fault)(*args, **kwargs)

    def heal(self) -> None:
        """End all faults of the network."""
        self.proxies.heal()

    @contextlib.contextmanager
    def healed_by_the_first_loss(self) -> Iterator[None]:
        """Have the network whole again for the connection that replaces a lost one."""

        def heal(event: Any) -> None:
            if event.change == "closed":
                self.heal()

        unsubscribe = events.subscribe(heal, events.Connection)
        try:
            yield
        finally:
            unsubscribe()
            self.heal()

    def total(self, counter: str) -> int:
        """Return a counter's sum over all proxies: `total("to_client")`."""
        return sum(getattr(proxy, counter) for proxy in self.proxies)

    def quiet(self) -> None:
        """Wait until all that was on its way has reached the servers."""
        until(lambda: not any(waiting_at(proxy.port) for proxy in self.proxies))
        for proxy in self.proxies:
            # What the proxy had read by then, it has sent when it has done this.
            with proxy.latency(0):
                pass
        self._place.quiet()


def goes_on_without(place: Network, caller: Any, fault: str) -> None:
    """Check that under "degrade" each call is answered while the network is hurt."""
    cache = caller(place.cache(**place.exact, ON_ERROR="degrade"))
    assert cache.set("key", "value")
    place.hurt(fault)
    for _ in range(10):
        assert cache.get("key", "default") == "default"
        assert cache.set("key", "later") is False
    place.heal()
