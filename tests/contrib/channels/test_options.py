"""What a layer may be told, and what it answers to what it may not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from channels.layers import channel_layers, get_channel_layer
from django.test import override_settings

from redpony.conf import Misconfigured
from redpony.contrib.channels import ChannelFull, MessageTooLarge, RedisChannelLayer

BACKEND = "redpony.contrib.channels.RedisChannelLayer"


def exchange(one: Any, other: Any, message: dict[str, Any]) -> Any:
    """Return what another layer receives of a message."""

    async def test() -> Any:
        await one.send("normal", message)
        return await asyncio.wait_for(other.receive("normal"), 15)

    return asyncio.run(test())


@pytest.fixture
def valkey_alias(cache_on, valkey) -> Any:
    valkey.flush()
    cache_on(valkey)
    cache_on(valkey, alias="second", KEY_PREFIX="other")
    return valkey


def test_django_makes_it_from_settings(valkey_alias):
    layers = {
        "default": {"BACKEND": BACKEND},
        "second": {
            "BACKEND": BACKEND,
            "CONFIG": {"using": "second", "expiry": 5, "capacity": 7},
        },
    }
    with override_settings(CHANNEL_LAYERS=layers):
        first, second = get_channel_layer(), get_channel_layer("second")
        assert first is channel_layers["default"]
        assert (first.alias.name, first.expiry, first.capacity) == ("default", 60, 100)
        assert first.group_expiry == 86400
        assert (second.alias.name, second.expiry, second.capacity) == ("second", 5, 7)


def test_layers_of_several_prefixes_or_aliases_do_not_meet(valkey_alias):
    layers = [
        RedisChannelLayer(),
        RedisChannelLayer(prefix="asg"),
        RedisChannelLayer(prefix="{asgi}"),
        RedisChannelLayer(prefix="asgi:more"),
        RedisChannelLayer(using="second"),
    ]

    async def test() -> None:
        for number, layer in enumerate(layers):
            await layer.send("normal", {"number": number})
            await layer.group_add("group", "grouped")
        for number, layer in enumerate(layers):
            await layer.group_send("group", {"number": number})
        await layers[0].flush()
        for number, layer in enumerate(layers[1:], 1):
            assert await layer.receive("normal") == {"number": number}
            assert await layer.receive("grouped") == {"number": number}
            await layer.flush()

    asyncio.run(test())
    assert list(valkey_alias.keys()) == []


@pytest.mark.parametrize("format", ["json", "msgpack"])
@pytest.mark.parametrize("keys", [None, ["new", "old"]])
def test_formats_and_keys_of_channels_redis(valkey_alias, format, keys):
    message = {"bytes": b"\x00\xff", "text": "\uffffb", "list": [1, {"a": None}]}
    options = {"serializer_format": format, "symmetric_encryption_keys": keys}
    one, other = RedisChannelLayer(**options), RedisChannelLayer(**options)
    assert exchange(one, other, message) == message


def test_a_key_may_be_replaced(valkey_alias):
    old = RedisChannelLayer(symmetric_encryption_keys=["old"])
    new = RedisChannelLayer(symmetric_encryption_keys=["new", "old"])
    assert exchange(old, new, {"a": 1}) == {"a": 1}


def test_nothing_is_readable_that_is_encrypted(valkey_alias):
    layer = RedisChannelLayer(symmetric_encryption_keys=["secret"])
    asyncio.run(layer.send("normal", {"text": "readable"}))
    (key,) = valkey_alias.keys()
    with valkey_alias.connect() as client:
        assert b"readable" not in client.lrange(key, 0, -1)[0]


class Upper:
    """A serializer of a user's own."""

    def serialize(self, message):
        return message["text"].upper().encode()

    def deserialize(self, body):
        return {"text": body.decode()}


def test_a_serializer_of_ones_own(valkey_alias):
    path = f"{__name__}.Upper"
    layer = RedisChannelLayer(serializer_format=path)
    assert exchange(layer, layer, {"text": "loud"}) == {"text": "LOUD"}


def test_the_largest_message_is_a_setting(valkey_alias):
    layer = RedisChannelLayer(max_message_bytes=100)
    with pytest.raises(MessageTooLarge, match="max_message_bytes"):
        exchange(layer, layer, {"text": "m" * 100})
    assert layer.MessageTooLarge is MessageTooLarge
    assert layer.ChannelFull is ChannelFull


def test_hosts_of_channels_redis(valkey_alias):
    host, port = valkey_alias.host, valkey_alias.port
    for one in (
        f"redis://{host}:{port}/1",
        (host, port),
        {"address": f"redis://{host}:{port}", "db": 1},
        {"host": host, "port": port, "db": 1},
    ):
        layer = RedisChannelLayer([one], capacity=3)
        assert exchange(layer, layer, {"a": 1}) == {"a": 1}


def test_sentinels_of_channels_redis(cache_on, places):
    group = places.empty("valkey-sentinel")
    sentinels = [(each.host, each.port) for each in group.sentinels]
    service = group.url().rstrip("/").split("/")
    named = {"sentinels": sentinels, "master_name": service[3]}
    cache_on(group)
    layer = RedisChannelLayer(hosts=[named])
    assert exchange(layer, layer, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"hosts": "redis://a"}, "takes a list"),
        ({"hosts": ["redis://a", "redis://b"]}, 'redis\\+cluster://..." and name it'),
        ({"hosts": ["http://a"]}, "hosts"),
        ({"hosts": [{"host": "a", "retry": 1}]}, '"retry" is an option of redis-py'),
        ({"hosts": ["redis://a"], "using": "default"}, 'either "using"'),
        ({"using": "defualt"}, 'Did you mean "default"'),
        ({"expirey": 5}, 'Did you mean "expiry"'),
        ({"expiry": 0}, "more than 0"),
        ({"capacity": "many"}, "more than 0"),
        ({"prefix": 5}, "takes text"),
        ({"serializer_format": "pickle"}, "msgpack"),
        ({"symmetric_encryption_keys": "secret"}, "takes a list"),
    ],
)
def test_what_is_wrong_is_told_with_its_remedy(valkey_alias, config, text):
    with pytest.raises(Misconfigured, match=text):
        RedisChannelLayer(**config)


def test_options_without_an_effect_are_taken(valkey_alias):
    layer = RedisChannelLayer(random_prefix_length=12, on_disconnect=print)
    assert exchange(layer, layer, {"a": 1}) == {"a": 1}


def test_another_process_channel_cannot_be_received(valkey_alias):
    async def test() -> None:
        channel = await RedisChannelLayer().new_channel()
        with pytest.raises(ValueError, match="another process"):
            await RedisChannelLayer().receive(channel)

    asyncio.run(test())


def test_a_name_with_a_mark_at_its_end_receives_for_all_of_its_channels(valkey_alias):
    async def test() -> None:
        layer = RedisChannelLayer()
        channels = [await layer.new_channel() for _ in range(3)]
        head = channels[0].partition("!")[0] + "!"
        for number, channel in enumerate(channels):
            await layer.send(channel, {"number": number})
        found = [await asyncio.wait_for(layer.receive(head), 15) for _ in channels]
        assert found == [{"number": 0}, {"number": 1}, {"number": 2}]
        task = asyncio.create_task(layer.receive(head))
        await asyncio.sleep(0.05)
        await layer.send(channels[1], {"number": 3})
        assert await asyncio.wait_for(task, 15) == {"number": 3}

    asyncio.run(test())
