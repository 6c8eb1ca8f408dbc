"""F26: TLS: certificates that do not fit, plain ports, streams that break."""

from __future__ import annotations

import datetime
import ssl
import threading

import pytest
import trustme

from redpony.errors import Unavailable, Unreachable
from redpony.testing import chaos
from tests.hostile import HELLO, FakeServer, Peer, silent
from tests.proxy import Proxy
from tests.servers import until

DAY = datetime.timedelta(days=1)
HOST = "127.0.0.1"
PATIENT = {"CONNECT_TIMEOUT": 5, "DEADLINE": 5}


class Authority:
    """A certificate authority of the test's own, and what it has issued."""

    def __init__(self, directory) -> None:
        self.made = trustme.CA()
        self.directory = directory
        self.ca = directory / "ca.pem"
        self.made.cert_pem.write_to_path(self.ca)
        self._number = 0

    def issue(self, host=HOST, *, lasts=DAY) -> chaos.Certificates:
        """Return the files of a certificate for a host."""
        self._number += 1
        until_then = datetime.datetime.now(datetime.UTC) + lasts
        issued = self.made.issue_cert(host, not_after=until_then)
        files = chaos.Certificates(
            certificate=self.directory / f"{self._number}.pem",
            key=self.directory / f"{self._number}.key",
            ca=self.ca,
        )
        issued.cert_chain_pems[0].write_to_path(files.certificate)
        issued.private_key_pem.write_to_path(files.key)
        return files

    def context(self) -> ssl.SSLContext:
        """Return a server's context, for servers that are fake."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.made.issue_cert(HOST).configure_cert(context)
        return context


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def secure(authority):
    with chaos.Server("redis", tls=authority.issue()) as server:
        yield server


@pytest.fixture
def trusting(cache_on, authority):
    """Return a function that makes a cache which trusts the test's authority."""

    def make(target, **options):
        tls = {"CA_FILE": str(authority.ca), **options.pop("TLS", {})}
        location = f"rediss://{HOST}:{target.port}/0"
        return cache_on(None, LOCATION=location, TLS=tls, **options)

    return make


def show(server, files) -> None:
    """Have a running server show another certificate, on new connections."""
    paths = ("tls-cert-file", str(files.certificate), "tls-key-file", str(files.key))
    server.ask("CONFIG", "SET", *paths)
    server.ask("CLIENT", "KILL", "USER", "default")


UNFIT = {
    "expired": ({"lasts": -DAY}, "expired"),
    "another host": ({"host": "elsewhere.test"}, "not valid for"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_certificate_that_does_not_fit_is_refused_and_not_tried_again(
    authority, trusting, caller, name
):
    how, why = UNFIT[name]
    with (
        chaos.Server("redis", tls=authority.issue(**how)) as server,
        Proxy((server.host, server.port)) as proxy,
        server.counting() as counted,
    ):
        cache = caller(trusting(proxy, RETRIES=3, **PATIENT))
        for count, (method, args) in enumerate(
            (("get", ("key",)), ("incr", ("n",)), ("set", ("key", 1))), 1
        ):
            met = cache.meets(method, *args)
            assert isinstance(met, Unreachable)
            assert met.outcome == "not_sent"
            assert "certificate" in str(met)
            assert why in str(met)
            # Neither once more, nor without encryption.
            assert proxy.accepted == count
    assert counted.commands == {}


def test_an_authority_that_we_do_not_know_is_refused(secure, cache_on, caller):
    with Proxy((secure.host, secure.port)) as proxy, secure.counting() as counted:
        location = f"rediss://{HOST}:{proxy.port}/0"
        cache = caller(cache_on(None, LOCATION=location, RETRIES=3, **PATIENT))
        met = cache.meets("incr", "n")
        assert isinstance(met, Unreachable)
        assert "certificate" in str(met)
        assert proxy.accepted == 1
    assert counted.commands == {}


@pytest.mark.parametrize("name", UNFIT)
def test_a_certificate_that_is_mended_is_accepted(
    authority, secure, trusting, caller, name
):
    """And one that spoils while we are connected is met by the next connection."""
    cache = caller(trusting(secure, BREAKER={"COOLDOWN": 0.05}, **PATIENT))
    assert cache.set("key", "value")
    show(secure, authority.issue(**UNFIT[name][0]))
    until(lambda: not secure.users(), "the connections are closed")
    met = cache.meets("get", "key")
    assert isinstance(met, Unreachable)
    assert "certificate" in str(met)
    show(secure, authority.issue())
    until(lambda: cache.tries("get", "key") == "value", "it is accepted again")


def test_a_plain_port_is_not_spoken_to_plainly(place, cache_on, caller):
    with Proxy((HOST, place.handle.port)) as proxy:
        with place.handle.counting() as counted:
            cache = caller(
                cache_on(None, LOCATION=f"rediss://{HOST}:{proxy.port}", RETRIES=3)
            )
            met = cache.meets("incr", "n")
        assert isinstance(met, Unreachable)
        assert met.outcome == "not_sent"
        assert counted.commands == {}
        assert proxy.accepted == 1


def test_a_tls_port_is_no_plain_server(secure, cache_on, caller):
    cache = caller(cache_on(None, LOCATION=f"redis://{HOST}:{secure.port}/0"))
    met = cache.meets("incr", "n")
    assert isinstance(met, Unavailable)
    assert met.outcome == "not_sent"
    assert secure.ask("DBSIZE") == 0


def test_a_server_that_never_ends_the_handshake_costs_the_time_for_connecting(
    trusting, caller
):
    with FakeServer(silent) as fake:
        cache = caller(trusting(fake, CONNECT_TIMEOUT=0.3))
        met = cache.meets("incr", "n")
        assert isinstance(met, Unreachable)
        assert met.outcome == "not_sent"


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_handshake_that_comes_in_pieces_is_one(secure, trusting, caller, size):
    with Proxy((secure.host, secure.port)) as proxy:
        proxy.chop(size)
        cache = caller(trusting(proxy, **PATIENT))
        assert cache.set("key", "value" * 1000)
        assert cache.get("key") == "value" * 1000


ENDINGS = ["close_notify", "fin", "reset", "plain text", "half a record"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_stream_that_breaks_within_an_answer_is_in_doubt_and_not_repeated(
    authority, trusting, caller, ending
):
    context = authority.context()
    asked = []

    def breaks(peer: Peer) -> None:
        try:
            with context.wrap_socket(peer.sock.dup(), server_side=True) as secured:
                inner = Peer(secured, peer.number)
                asked.append(inner.greet(HELLO))
                inner.send(b"$10\r\nhal")
                if ending == "close_notify":
                    secured.unwrap()
                elif ending == "plain text":
                    peer.send(b"+OK\r\n" * 10)
                elif ending == "half a record":
                    peer.send(b"\x17\x03\x03\x00\x40half")
        except OSError:
            pass
        if ending == "reset":
            peer.reset()

    with FakeServer(breaks) as fake:
        cache = caller(trusting(fake, RETRIES=3, BREAKER={"FAILURES": 99}, **PATIENT))
        met = cache.meets("incr", "n", ignore_key_check=True)
        assert isinstance(met, Unavailable)
        assert met.outcome == "unknown"
        assert len(asked) == 1
        # A read may be asked again, and never comes back in half.
        assert isinstance(cache.meets("get", "key"), Unavailable)


@pytest.mark.parametrize("cut", [0, 1, 20])
def test_a_change_cut_within_its_encrypted_answer_has_happened_once(
    secure, trusting, caller, cut
):
    with Proxy((secure.host, secure.port)) as proxy:
        cache = caller(trusting(proxy, RETRIES=3, **PATIENT))
        assert cache.incr("n", ignore_key_check=True) == 1
        proxy.cut_after(cut)
        met = cache.meets("incr", "n", ignore_key_check=True)
        assert met.outcome == "unknown"
        proxy.heal()
        assert cache.get("n") == 2


def test_a_crowd_on_encrypted_streams_that_break(secure, trusting, workload):
    with Proxy((secure.host, secure.port)) as proxy:
        cache = trusting(proxy, BREAKER={"COOLDOWN": 0.05}, **PATIENT)
        with workload(cache, threads=4, tasks=4) as load:
            for hurt in (proxy.cut, proxy.reset, lambda: proxy.cut_after(200)) * 3:
                load.go_on()
                hurt()
                load.fails(1)
                proxy.heal()
            load.go_on(3)
        figures = load.verdict()
    assert figures["unknown"] > 0


def test_a_crowd_outlives_a_certificate_that_is_exchanged(
    authority, secure, trusting, workload
):
    cache = trusting(secure, BREAKER={"COOLDOWN": 0.05}, **PATIENT)
    with workload(cache, threads=4, tasks=4) as load:
        load.go_on()
        show(secure, authority.issue(lasts=-DAY))
        load.fails(20)
        show(secure, authority.issue())
        load.go_on(3)
        failures = load.failures
    load.verdict()
    assert failures["Unreachable"] > 0


def test_threads_that_all_meet_a_bad_certificate_at_once_do_not_storm_the_server(
    authority, trusting, record
):
    with (
        chaos.Server("redis", tls=authority.issue(lasts=-DAY)) as server,
        Proxy((server.host, server.port)) as proxy,
    ):
        cache = trusting(proxy, BREAKER={"COOLDOWN": 30}, **PATIENT)
        together = threading.Barrier(40)
        met = []

        def work() -> None:
            together.wait()
            for _ in range(20):
                try:
                    cache.get("key")
                except Unavailable as error:
                    met.append(error)

        threads = [threading.Thread(target=work) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Each of those who were inside already, and the three that it takes.
        assert proxy.accepted <= 40 + 3
        assert len(met) == 800
        assert cache.alias.link.blocking.pool.in_use == 0
        record(operations=800, wrong=0, duplicates=0, slots=0)
