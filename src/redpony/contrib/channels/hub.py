"""A layer in one event loop: what it hears there, and what it has to ask.

One connection (on a cluster: one a server) hears all that is published for this loop's
consumers. Whatever begins to be heard is read from the server once, because pub/sub
forgets what was said before. It goes with its loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from redpony.alias import Alias
from redpony.contrib.channels import errands
from redpony.contrib.channels.boxes import Box
from redpony.contrib.channels.fetching import Fetching
from redpony.contrib.channels.office import Office
from redpony.contrib.channels.topics import Group, Log, Queue, Topic
from redpony.errors import RedponyError
from redpony.wire.push.subscriptions import Subscriptions

logger = logging.getLogger("redpony.channels")


class Hub:
    """One loop's ears, and its errands."""

    def __init__(self, office: Office, alias: Alias) -> None:
        self.office = office
        self.loop = asyncio.get_running_loop()
        self.is_closed = False
        self._driver = alias.link.awaiting
        self._label = alias.link.label
        self._subscriptions = Subscriptions(
            alias.link, self, sharded=office.terms.sharded
        )
        self._topics: dict[bytes, Topic] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._saying: asyncio.Task[None] | None = None
        self._fetching = Fetching(self, self._driver)
        self._sweeping: asyncio.TimerHandle | None = None
        self._keeper: AsyncGenerator[None, None] | None = None

    async def start(self) -> None:
        """Listen, and arrange to be closed with the loop."""
        self._keeper = self._keep()
        await self._keeper.__anext__()
        self._subscriptions.add(self.office.terms.control)
        self._sweep()

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self.close()

    def close(self) -> None:
        office = self.office
        self.is_closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        with office.lock:
            if office.hubs.get(self.loop) is self:
                del office.hubs[self.loop]
            for topic in self._topics.values():
                topic.hubs.discard(self)
                if not topic.hubs:
                    office.behind.discard(topic)
        if not self.loop.is_closed():
            for task in self._tasks:
                task.cancel()
            self._subscriptions.close()

    # What is listened to

    def attach(self, box: Box) -> None:
        """Listen to all that may bring a channel messages."""
        office = self.office
        if "!" in box.name:
            box.hub = self
            self.want(office.inbox(box.name))
            for group in list(box.groups):
                self.want(group)
        else:
            queue = office.queue(box.name)
            queue.used = office.clock()
            self.want(queue)
            self.fetch(queue)

    def want(self, topic: Topic) -> None:
        if self in topic.hubs:
            return
        if isinstance(topic, Log) and not topic.hubs:
            self.office.fall_behind(topic)
        topic.hubs.add(self)
        if not self._elsewhere(self._want, topic):
            self._want(topic)

    def _want(self, topic: Topic) -> None:
        if self in topic.hubs:
            self._topics[topic.names.channel] = topic
            self._subscriptions.add(topic.names.channel)

    def unwant(self, topic: Topic) -> None:
        topic.hubs.discard(self)
        if not self._elsewhere(self._unwant, topic):
            self._unwant(topic)

    def _unwant(self, topic: Topic) -> None:
        name = topic.names.channel
        if self._topics.get(name) is topic:
            del self._topics[name]
            self._subscriptions.remove(name)

    def _elsewhere(self, act: Any, topic: Topic) -> bool:
        """Have something done in the loop, if this is another one."""
        try:
            if asyncio.get_running_loop() is self.loop:
                return False
        except RuntimeError:
            pass
        try:
            self.loop.call_soon_threadsafe(act, topic)
        except RuntimeError:  # the loop is closed
            topic.hubs.discard(self)
        return True

    # What is heard

    def message(self, name: bytes, payload: bytes, pattern: bytes | None) -> None:
        topic = self._topics.get(name)
        if topic is not None:
            topic.told(self, payload)
        elif payload != self.office.identity.encode():
            # Said on the control channel: another process has flushed the layer.
            self.office.clear()

    def heard(self, name: bytes) -> None:
        topic = self._topics.get(name)
        if topic is not None:
            self.fetch(topic)

    def unheard(self, names: list[bytes], error: RedponyError) -> None:
        with self.office.lock:
            for name in names:
                topic = self._topics.get(name)
                if isinstance(topic, Log):
                    self.office.fall_behind(topic)

    def failed(self, name: bytes, error: RedponyError) -> None:
        """A server refuses to let us listen: whoever waits is told."""
        logger.error("%s refuses a subscription: %s", self._label, error)
        topic = self._topics.get(name)
        if topic is not None:
            self.fail(topic, error)

    def fail(self, topic: Topic, error: RedponyError) -> None:
        office = self.office
        with office.lock:
            if isinstance(topic, Group):
                boxes = list(topic.members)
            else:
                boxes = [
                    box
                    for box in office.boxes.values()
                    if box.name.startswith(topic.name)
                ]
            for box in boxes:
                while box.wake(error):
                    pass

    # What is asked

    def fetch(self, topic: Topic) -> None:
        """Read what there is of a topic, soon."""
        with self.office.lock:
            if topic.is_fetching:
                if isinstance(topic, Queue):
                    topic.again = True
                return
            topic.is_fetching = True
        self._spawn(self._fetching.fetch(topic))

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def fetch_soon(self, topic: Topic) -> None:
        """Do so from any thread."""
        if not self._elsewhere(self.fetch, topic):
            self.fetch(topic)

    # What is told

    def acknowledge(self) -> None:
        """Tell the server what was received, soon."""
        office = self.office
        if (self._saying is None or self._saying.done()) and (
            office.unsaid or office.deserted
        ):
            self._saying = self._spawn(errands.run(office, self._driver))

    async def settled(self) -> None:
        """Return when the server knows what was received in this loop."""
        self.acknowledge()
        if self._saying is not None:
            await asyncio.shield(self._saying)

    def _sweep(self) -> None:
        every = max(min(self.office.expiry / 4, 15.0), 0.25)
        self._sweeping = self.loop.call_later(every, self._sweep)
        self.office.sweep()
        self.acknowledge()
