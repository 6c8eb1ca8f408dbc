"""Publishing: transactions, payloads, names."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

import msgspec
import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from redpony.errors import NotSerializable, Unavailable
from redpony.realtime import (
    Channel,
    History,
    Position,
    apublish,
    listen,
    publish,
    publish_many,
)
from redpony.realtime.channel import Plain, channel_of
from redpony.realtime.cursor import cursor_of, positions_in
from redpony.realtime.message import Entry, data_lines, pack_message
from tests.locks.mutants import ROOT, Mutant
from tests.realtime.mutants import MUTANTS
from tests.servers import Server

Run = Callable[[Any], Any]


@dataclass
class Inner:
    x: int


@dataclass
class Shipped:
    order: int
    inner: Inner


class Typed(TypedDict):
    a: int


class Struct(msgspec.Struct):
    n: int


class Orders(Channel):
    pattern = "publishing-order:{order_id:int}"


class Shipping(Channel):
    pattern = "publishing-shipping:{place}"
    payload = Shipped


class OfDicts(Channel):
    pattern = "publishing-dicts:{place}"
    payload = Typed


class OfStructs(Channel):
    pattern = "publishing-structs:{place}"
    payload = Struct


class Fleeting(Channel):
    pattern = "publishing-fleeting:{place}"
    history = None


@pytest.fixture(autouse=True)
def here(request: pytest.FixtureRequest, valkey: Server, cache_on: Any) -> None:
    valkey.flush()
    cache_on(valkey)


# -- transactions --------------------------------------------------------------


def kept(channel: Channel) -> list[Any]:
    """What was published."""
    with listen(channel, since="0-0", timeout=0.3) as messages:
        return [each.data for each in messages]  # type: ignore[union-attr]


def test_after_the_commit_and_not_after_a_rollback() -> None:
    channel = Orders(order_id=1)
    with transaction.atomic():
        assert channel.publish("committed") is None
        assert publish_many([(channel, "too"), (channel, "and this")]) == [None, None]
        assert channel.publish("at once", on_commit=False) is not None
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        channel.publish("rolled back")
        raise ZeroDivisionError
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            channel.publish("with a savepoint")
            raise ZeroDivisionError
        channel.publish("after it")
    assert kept(channel) == ["at once", "committed", "too", "and this", "after it"]


def test_a_coroutine_has_the_transaction_of_who_waits_for_it() -> None:
    channel = Orders(order_id=2)
    with transaction.atomic():
        assert async_to_sync(apublish)(channel, "later") is None
        assert kept(channel) == []
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        async_to_sync(channel.apublish)("never")
        raise ZeroDivisionError
    assert async_to_sync(channel.apublish)("now") is not None
    assert kept(channel) == ["later", "now"]


def test_a_mistake_in_a_payload_is_told_at_once() -> None:
    channel = Orders(order_id=3)
    with transaction.atomic():
        with pytest.raises(NotSerializable, match="publishing-order:3"):
            channel.publish(object())
        with pytest.raises(NotSerializable):
            channel.publish({"a": {1, 2}})
    assert kept(channel) == []


def test_when_the_server_is_away_it_is_told(cache_on: Any) -> None:
    with Server("valkey") as server:
        cache_on(server, alias="default", DEADLINE=0.5, CONNECT_TIMEOUT=0.5)
        server.kill()
        with pytest.raises(Unavailable) as caught:
            Orders(order_id=4).publish(1)
    assert "publishing-order:4" in "".join(caught.value.__notes__)


# -- payloads ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "payload"),
    [
        (Shipping(place="a"), Shipped(7, Inner(1))),
        (OfDicts(place="a"), {"a": 1}),
        (OfStructs(place="a"), Struct(5)),
    ],
    ids=["dataclass", "typed dict", "struct"],
)
def test_a_typed_payload_comes_back_as_its_type(channel: Channel, payload: Any) -> None:
    channel.publish(payload)
    assert kept(channel) == [payload]
    with pytest.raises(NotSerializable, match=channel.name):
        channel.publish({"something": "else"})


def test_what_django_writes_is_written() -> None:
    channel = Orders(order_id=5)
    channel.publish(
        {
            "at": datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC),
            "price": Decimal("1.50"),
            "id": UUID(int=7),
            "nested": [Inner(3), Struct(4)],
            "ü": "\u2028",
        }
    )
    (found,) = kept(channel)
    assert found == {
        "at": "2026-11-23T00:00:00Z",
        "price": "1.50",
        "id": str(UUID(int=7)),
        "nested": [{"x": 3}, {"n": 4}],
        "ü": "\u2028",
    }


# -- names ---------------------------------------------------------------------


def test_a_channel_s_parameters_are_its_attributes() -> None:
    class User:
        pk = 12

    channel = Orders(order_id=User())
    assert (channel.name, channel.order_id) == ("publishing-order:12", 12)  # type: ignore[attr-defined]
    assert channel == channel_of("publishing-order:12")
    assert hash(channel) == hash(channel_of("publishing-order:12"))
    assert type(channel_of("nobody-has-this")) is Plain


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Orders(), TypeError, "takes 'order_id', and was given nothing"),
        (lambda: Orders(order=1), TypeError, "was given 'order'"),
        (lambda: Orders(order_id="x"), ValueError, "do not fit"),
        (lambda: Shipping(place="a:b"), ValueError, "do not fit"),
        (lambda: Shipping(place="a b"), ValueError, "cannot be a channel's name"),
        (lambda: Shipping(place="x" * 300), ValueError, "cannot be a channel's name"),
        (lambda: publish("a,b", 1), ValueError, "cannot be a channel's name"),
        (lambda: publish("", 1), ValueError, "cannot be a channel's name"),
        (lambda: publish(7, 1), TypeError, "A channel or its name"),  # type: ignore[arg-type]
        (lambda: publish("a", 1, event="a\nb"), ValueError, "event="),
        (
            lambda: Fleeting(place="a").publish(1, idempotency_key="k"),
            ValueError,
            "no history",
        ),
        (lambda: History(0), ValueError, "at least 1"),
        (lambda: History(1, 0), ValueError, "more than 0"),
        (lambda: Position.parse("1764-"), ValueError, "no position"),
        (lambda: Position.parse("-1-2"), ValueError, "no position"),
    ],
    ids=map(str, range(15)),
)
def test_what_cannot_be_says_why(
    make: Callable[[], Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize(
    ("pattern", "match"),
    [
        ("a:{b:float}", "'float'"),
        ("a:{b}:{b}", "twice"),
        ("a:{b", "is no pattern"),
        ("a:{name}", "cannot have a parameter 'name'"),
        ("publishing-order:{order_id:int}", "same pattern"),
    ],
)
def test_a_class_that_cannot_be_says_why(pattern: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        type("Some", (Channel,), {"pattern": pattern, "__module__": "elsewhere"})


# -- forms ---------------------------------------------------------------------


def test_data_is_written_a_line_at_a_time() -> None:
    assert data_lines("a") == "data: a\n"
    assert data_lines("a\nb\r\nc\rd") == "data: a\ndata: b\ndata: c\ndata: d\n"


def test_who_is_left_out_stands_in_the_head() -> None:
    entry = Entry("c", Position(1, 2), pack_message("j", '"a\tb"', "e", "me"))
    assert entry.exclude == "me"
    assert entry.parts() == ("j", "e", "me", '"a\tb"')
    assert Entry("c", None, pack_message("j", '"a\tb"', "", "")).exclude == ""


def test_a_cursor_says_where_a_browser_is_in_all_of_its_channels() -> None:
    places = [("a", Position(1, 2)), ("b:7", Position(3, 4)), ("c", None)]
    text = cursor_of(places)
    assert text == "a@1-2,b:7@3-4"
    assert positions_in(text, ["a", "b:7"]) == dict(places[:2])
    assert positions_in("1-2", ["a"]) == {"a": Position(1, 2)}
    assert positions_in("1-2", ["a", "b"]) == {}
    assert positions_in("junk,a@x,b@1-1,,@,a@1-2", ["a"]) == {"a": Position(1, 2)}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: str(mutant.what))
def test_what_is_broken_on_purpose_is_still_there_to_be_broken(mutant: Mutant) -> None:
    text = (ROOT / "src" / "redpony" / mutant.file).read_text("utf-8")
    assert text.count(mutant.old) == 1
