"""Consumers of Channels, as a project writes them."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer, WebsocketConsumer
from channels.layers import get_channel_layer
from channels.testing.websocket import WebsocketCommunicator
from django.test import override_settings

from tests.contrib.channels.conftest import LAYERS


class Chat(AsyncJsonWebsocketConsumer):
    groups = ["chat"]

    async def receive_json(self, content):
        await self.channel_layer.group_send("chat", {"type": "chat.said", **content})

    async def chat_said(self, event):
        await self.send_json({"said": event["text"]})


class Echo(WebsocketConsumer):
    """A synchronous one, whose every call of the layer has a loop of its own."""

    def connect(self):
        async_to_sync(self.channel_layer.group_add)("echo", self.channel_name)
        self.accept()

    def receive(self, text_data):
        message = {"type": "echo.came", "text": text_data}
        async_to_sync(self.channel_layer.send)(self.channel_name, message)

    def echo_came(self, event):
        self.send(text_data=event["text"])

    def disconnect(self, code):
        async_to_sync(self.channel_layer.group_discard)("echo", self.channel_name)


@pytest.fixture
def layers(cache_on, server):
    cache_on(server)
    with override_settings(CHANNEL_LAYERS=LAYERS):
        yield


@pytest.mark.forms("single", "cluster")
def test_what_one_says_all_hear(layers):
    async def test():
        several = [WebsocketCommunicator(Chat.as_asgi(), "/") for _ in range(3)]
        for each in several:
            assert (await each.connect(15))[0]
        await several[1].send_json_to({"text": "hello"})
        for each in several:
            assert await each.receive_json_from(15) == {"said": "hello"}
        for each in several:
            await each.disconnect(15)
        office = get_channel_layer()._office
        assert office.boxes == {}
        assert [each for each in office.topics.values() if each.name == "chat"] == []

    asyncio.run(test())


@pytest.mark.forms("single", "cluster")
def test_a_synchronous_consumer_and_a_view_that_tells_it(layers):
    async def test():
        one = WebsocketCommunicator(Echo.as_asgi(), "/")
        assert (await one.connect(15))[0]
        await one.send_to(text_data="mine")
        assert await one.receive_from(15) == "mine"

        def view():
            message = {"type": "echo.came", "text": "theirs"}
            async_to_sync(get_channel_layer().group_send)("echo", message)

        await sync_to_async(view)()
        assert await one.receive_from(15) == "theirs"
        await one.disconnect(15)

    asyncio.run(test())
