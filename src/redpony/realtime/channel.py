"""Channels: what messages are published to, and who may read them.

    class OrderEvents(Channel):
        pattern = "order:{order_id:int}"
        payload = OrderEvent

        def can_subscribe(self, user):
            return user.orders.filter(pk=self.order_id).exists()

    OrderEvents(order_id=7).publish(OrderEvent(...))

Classes stand in `realtime.py` of an app, where they are found by their names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

from redpony.alias import Alias, alias_for
from redpony.conf import alias_config, realtime_settings
from redpony.realtime import registry
from redpony.realtime.pattern import Pattern, check_name
from redpony.realtime.places import REMEMBERED, Keys, keys_of
from redpony.realtime.policy import History, Slow
from redpony.wire.config import Cluster

if TYPE_CHECKING:
    from redpony.realtime.message import Message, Reset, Skipped
    from redpony.realtime.position import Position


class _Usual:
    def __repr__(self) -> str:
        return "the history that REDPONY says"


USUAL: Final = _Usual()


class Channel:
    """A channel of messages; a subclass says what all channels of a pattern are.

    Its parameters are its attributes. Two of one class and name are equal.
    """

    pattern: ClassVar[str] = ""
    """What its names look like: `order:{order_id:int}`."""
    payload: ClassVar[Any] = None
    """The type of payloads: a dataclass, TypedDict, msgspec Struct or pydantic model."""
    history: ClassVar[History | _Usual | None] = USUAL
    """What is kept for who comes back; None: nothing, messages are sent at most once."""
    slow: ClassVar[Slow] = Slow.CATCH_UP
    """What becomes of who is too slow for it."""
    presence: ClassVar[bool] = False
    """Whether it is known who reads it: see `presences`."""
    using: ClassVar[str | None] = None
    """An alias of CACHES; None: that of `REDPONY["REALTIME"]`."""
    shape: ClassVar[Pattern]
    name: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "pattern" in vars(cls):
            cls.shape = Pattern(cls.pattern)
            names = cls.shape.parameters
            taken = [each for each in names if each == "name" or hasattr(cls, each)]
            if taken:
                raise ValueError(
                    f"{cls.__qualname__} cannot have a parameter {taken[0]!r}: a channel "
                    "has that already"
                )
            registry.enrol(cls)

    def __init__(self, **parameters: Any) -> None:
        if not self.pattern:
            raise TypeError(f"{type(self).__qualname__} has no pattern")
        self.name = self.shape.name(parameters)
        # As they are in its name: a model's instance is its primary key.
        vars(self).update(self.shape.parse(self.name) or {})

    # Who may

    def can_subscribe(self, user: Any) -> Any:
        """Return whether a user may read this channel; nobody may unless you say so.

        Of any colour. Asked once a subscription, and again when somebody's rights change.
        """
        return False

    def describe(self, user: Any) -> Any:
        """Return what others are told of a user who is here: what JSON knows."""
        return None

    def can_send(self, user: Any) -> Any:
        """Return whether a user's browser may send messages to `received`."""
        return False

    def received(self, user: Any, data: Any) -> Any:
        """Handle what a browser has sent to this channel; of any colour.

        What it returns is the browser's answer.
        """
        raise NotImplementedError(f"{type(self).__qualname__} receives no messages")

    # Publishing

    def publish(self, payload: Any, **options: Any) -> Position | None:
        """Publish a message: see `redpony.realtime.publish`."""
        from redpony.realtime.publishing import publish

        return publish(self, payload, **options)

    async def apublish(self, payload: Any, **options: Any) -> Position | None:
        """Publish a message: see `redpony.realtime.apublish`."""
        from redpony.realtime.publishing import apublish

        return await apublish(self, payload, **options)

    def publish_html(
        self,
        template: str,
        context: dict[str, Any] | None = None,
        *,
        event: str = "html",
        **options: Any,
    ) -> Position | None:
        """Publish a rendered template, for pages of htmx and the like.

        Browsers get it as it is, as an event of this name.
        """
        from redpony.realtime.publishing import html, publish

        return publish(self, html(template, context), event=event, **options)

    async def apublish_html(
        self,
        template: str,
        context: dict[str, Any] | None = None,
        *,
        event: str = "html",
        **options: Any,
    ) -> Position | None:
        """Publish a rendered template, for pages of htmx and the like."""
        from redpony.realtime.publishing import apublish, html

        return await apublish(self, html(template, context), event=event, **options)

    # Reading

    def subscribe(
        self, since: Position | str | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Message | Reset | Skipped]]:
        """Read the channel in asyncio: see `redpony.realtime.subscribe`."""
        from redpony.realtime.subscribing import subscribe

        return subscribe(self, since=since)

    def listen(
        self, since: Position | str | None = None, timeout: float | None = None
    ) -> AbstractContextManager[Iterator[Message | Reset | Skipped]]:
        """Read the channel in a thread: see `redpony.realtime.listen`."""
        from redpony.realtime.listening import listen

        return listen(self, since=since, timeout=timeout)

    # What it is on the server

    @cached_property
    def alias(self) -> Alias:
        """The alias that it lives on."""
        return alias_for(alias_config(self.using or realtime_settings().alias))

    @cached_property
    def keys(self) -> Keys:
        """Its keys on the server."""
        prefix = self.alias.config.key_prefix
        return keys_of(prefix, self.name, realtime_settings().partitions)

    @property
    def keeps(self) -> History | None:
        """What is kept of it."""
        history = self.history
        if not isinstance(history, _Usual):
            return history
        chosen = realtime_settings()
        return _history(chosen.history, chosen.ttl) if chosen.history else None

    @property
    def is_sharded(self) -> bool:
        """Whether it is said in its slot alone."""
        return isinstance(self.alias.config.topology, Cluster)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Channel)
            and type(other) is type(self)
            and other.name == self.name
        )

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} {self.name}>"


class Plain(Channel):
    """A channel without a class: Python code may publish and read it, browsers may not."""

    def __init__(self, name: str) -> None:
        self.name = check_name(name)


def channel_of(given: object) -> Channel:
    """Return the channel that is given, or named; raises `ValueError` and `TypeError`."""
    if isinstance(given, Channel):
        return given
    if isinstance(given, str):
        return registry.find(check_name(given)) or Plain(given)
    raise TypeError(f"A channel or its name is needed, not {type(given).__name__}")


_history = lru_cache(maxsize=8)(History)


def lives(history: History) -> bytes:
    """Return for how long a channel's position is kept, in milliseconds."""
    return b"%d" % (1000 * max(REMEMBERED, 2 * history.ttl))
