"""F4: the server hangs: its connections stay open and nothing answers."""

from __future__ import annotations

import statistics

from redpony.errors import CircuitOpen, DeadlineExceeded, Unavailable

TOPOLOGIES = ("single", "replicated", "sentinel", "cluster")
FLAVOURS = {"single": ("valkey", "redis")}


def test_a_caller_is_held_for_the_deadline_and_then_for_nothing(place, caller):
    cache = caller(place.cache(BREAKER={"COOLDOWN": 30}))
    assert cache.set("key", "value")
    place.pause()
    met = [cache.meets("get", "key") for _ in range(50)]
    assert isinstance(met[0], DeadlineExceeded)
    held = []
    for _ in range(100):
        assert isinstance(cache.meets("get", "key"), CircuitOpen)
        held.append(cache.last)
    assert statistics.median(held) < 0.001
    place.resume()


def test_three_callers_pay_and_no_more(place, caller):
    cache = caller(place.cache(BREAKER={"COOLDOWN": 30}))
    assert cache.set("key", "value")
    place.pause()
    met = [type(cache.meets("get", "key")) for _ in range(10)]
    waited = [each for each in met if issubclass(each, DeadlineExceeded)]
    assert len(waited) <= 3 * len(place.servers)
    assert met[-1] is CircuitOpen
    place.resume()


def test_what_was_sent_into_the_silence_takes_effect_at_most_once(place, caller):
    cache = caller(place.cache(BREAKER={"FAILURES": 1000}))
    assert cache.incr("n", ignore_key_check=True) == 1
    place.pause()
    outcomes = [
        cache.meets("incr", "n", ignore_key_check=True).outcome for _ in range(3)
    ]
    place.resume()
    # Its connection may be lost already, by a look at the topology.
    assert outcomes[0] == "unknown" or place.topology != "single"
    while isinstance(found := cache.tries("get", "n"), Unavailable):
        pass
    assert found in range(1, 2 + outcomes.count("unknown"))
    place.quiet()
    assert cache.get("n") in range(1, 2 + outcomes.count("unknown"))


def test_a_site_that_goes_on_without_is_answered(place, caller):
    cache = caller(place.cache(ON_ERROR="degrade"))
    assert cache.set("key", "value")
    place.pause()
    for _ in range(10):
        assert cache.get("key", "default") == "default"
        assert cache.set("key", "later") is False
    place.resume()


def test_a_crowd_is_held_for_the_deadline_at_most(place, workload):
    with workload(place.cache(BREAKER={"COOLDOWN": 0.05})) as load:
        load.go_on()
        place.pause()
        load.fails(200)
        place.resume()
        load.go_on(3)
    figures = load.verdict()
    assert figures["unknown"] > 0


def test_a_server_that_hangs_again_and_again_does_not_wear_the_crowd_out(
    place, workload
):
    with workload(place.cache(BREAKER={"COOLDOWN": 0.05}), threads=8) as load:
        for _ in range(5):
            load.go_on()
            place.pause()
            load.fails(20)
            place.resume()
    load.verdict()
