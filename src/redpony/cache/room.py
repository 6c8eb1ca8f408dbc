"""What the cache's rooms stand on: keys, time-outs, and how plans are run."""

from __future__ import annotations

import math
import warnings
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from numbers import Real
from typing import Any, ClassVar, TypeVar

from django.core.cache.backends.base import (
    DEFAULT_TIMEOUT,
    BaseCache,
    memcache_key_warnings,
)
from django.core.cache.backends.base import (
    default_key_func as django_key,
)

from redpony import events
from redpony.alias import Alias, Drive, Watch, alias_for
from redpony.cache import policy
from redpony.codec import Codec
from redpony.commands import Command, Kind
from redpony.conf import Misconfigured, Problem, read_alias
from redpony.errors import (
    InvalidSetting,
    NoPermission,
    RedponyError,
    Tampered,
    Unavailable,
    Unreadable,
    WriteRefused,
)
from redpony.keys import LONGEST, are_portable, odd
from redpony.plan import Plan, Raised, TwoColoured, finish, name_of

R = TypeVar("R")

django_key_function = django_key
"""Django's default `KEY_FUNCTION`."""

DEFAULT: Any = DEFAULT_TIMEOUT
"""The alias' own `TIMEOUT`."""

_MAKES_KEYS = frozenset({"key_func", "key_prefix", "version"})

GONE = 0
"""What `milliseconds` returns for a time-out that is over already."""

_FURTHEST = 2**53

_made: dict[tuple[type[Room], int], dict[str, Any]] = {}


class Room(TwoColoured, BaseCache):
    """The base of the cache's rooms. Cheap to make: Django makes many.

    Settings that cannot be used are raised when the cache is first asked for
    something, because Django's checks make every cache only to look at it.
    """

    alias: Alias
    _codec: Codec
    _drive: Drive
    _adrive: Drive
    _ask: Callable[[Command], Any]
    _read: Callable[[Kind, str], Awaitable[Any] | None]
    _head: str
    _plain: bool
    _fault: Misconfigured
    _custom_keys: ClassVar[bool] = False

    def __init__(self, location: Any, params: dict[str, Any]) -> None:
        try:
            config = read_alias(None, location, params)
        except Misconfigured as error:
            self._fault = error
            return
        # All that an object holds follows from its class and configuration, and
        # equal settings are one configuration: the second object is a copy.
        made = _made.get((type(self), id(config)))
        if made is None:
            super().__init__(_for_django(params))
            self.alias = alias_for(config)
            self._codec = self.alias.codec
            self._drive = self.alias.drive
            self._adrive = self.alias.adrive
            self._read = self.alias.read
            self._ask = self.alias.ask
            _made[type(self), id(config)] = {**vars(self), "_config": config}
        else:
            vars(self).update(made)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _MAKES_KEYS and "key_func" in vars(self):
            self._head = f"{self.key_prefix}:{self.version}:"
            self._plain = not self._custom_keys and self.key_func is django_key

    def __getattr__(self, name: str) -> Any:
        fault = vars(self).get("_fault")
        if fault is not None:
            raise Misconfigured(*fault.problems)
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._custom_keys = (
            cls.make_key is not BaseCache.make_key
            or cls.validate_key is not BaseCache.validate_key
            or cls.make_and_validate_key is not BaseCache.make_and_validate_key
        )

    # Running plans

    def _run(self, plan: Plan[R]) -> R:
        if events.listening:
            with Watch(self.alias, plan) as watched:
                return finish(self._drive(watched, self._settle))  # type: ignore[no-any-return]
        result = self._drive(plan, self._settle)
        return finish(result) if type(result) is Raised else result  # type: ignore[no-any-return]

    async def _arun(self, plan: Plan[R]) -> R:
        if events.listening:
            with Watch(self.alias, plan) as watched:
                return finish(await self._adrive(watched, self._settle))  # type: ignore[no-any-return]
        result = await self._adrive(plan, self._settle)
        return finish(result) if type(result) is Raised else result  # type: ignore[no-any-return]

    def _settle(self, plan: Plan[Any], error: RedponyError) -> Any:
        """Return what the policy says of an operation without a server, or raise."""
        name = name_of(plan).lstrip("_")
        alias = self.alias
        if isinstance(error, (Unavailable, WriteRefused)):
            answer = policy.ANSWERS.get(name, policy.RAISES)
            if answer is not policy.RAISES and alias.degrades:
                return alias.degraded(name, error, policy.fresh(answer))
        raise self._explained(name, error)

    def _explained(self, name: str, error: RedponyError) -> RedponyError:
        """Return an error of the floors below with the alias that it was met in."""
        where = f'CACHES["{self.alias.name}"]'
        if type(error) is InvalidSetting:
            # Met by the wire, which knows no aliases.
            found = Misconfigured(Problem("value", where, str(error)))
            found.__cause__ = error
            return found
        note = f"In {name}() of {where}."
        if isinstance(error, NoPermission):
            # Not every server says whom it refuses.
            user = self.alias.config.link.username or "default"
            note = f"In {name}() of {where}, as the server's user {user!r}."
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        return error

    # Keys

    def _key(self, key: Any, version: int | None = None) -> str:
        """Return the server's key, after Django's warnings about the user's."""
        if self._plain:
            if version is None:
                full = f"{self._head}{key}"
            else:
                full = f"{self.key_prefix}:{version}:{key}"
            if len(full) > LONGEST or odd(full) is not None:
                self._warn(full)
            return full
        return self.make_and_validate_key(key, version=version)

    def _full_keys(self, keys: Iterable[Any], version: int | None) -> list[str]:
        """Return the server's keys for many; the warnings are looked for at once."""
        if not self._plain:
            return [self.make_and_validate_key(key, version=version) for key in keys]
        number = self.version if version is None else version
        head = f"{self.key_prefix}:{number}:"
        full = [f"{head}{key}" for key in keys]
        if not are_portable(full):
            for each in full:
                self._warn(each)
        return full

    def _warn(self, full: str) -> None:
        for warning in memcache_key_warnings(full):
            warnings.warn(warning, policy.CacheKeyWarning, stacklevel=5)

    # Time-outs

    def _milliseconds(self, timeout: Any) -> int | None:
        """Return a time-out in ms: None for never, 0 for one that is over."""
        if timeout is DEFAULT:
            timeout = self.default_timeout
        return milliseconds(timeout)

    # Values

    def _decoded(self, key: Any, data: bytes, default: Any) -> Any:
        """Return a stored value, or `default` for one that must not be used."""
        try:
            return self._codec.decode(str(key), data)
        except (Tampered, Unreadable) as error:
            self.alias.refused(error)
            return default


def milliseconds(timeout: Any, name: str = "timeout") -> int | None:
    """Return seconds as whole milliseconds; None for None, 0 for what is over.

    Raises TypeError for what is no number of seconds.
    """
    if timeout is None:
        return None
    if isinstance(timeout, timedelta):
        timeout = timeout.total_seconds()
    elif isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(
            f"{name} must be a number of seconds, a timedelta, or None for no "
            f"expiry; not {type(timeout).__name__}"
        )
    if not math.isfinite(timeout):
        raise ValueError(f"{name} must be finite; use None for no expiry")
    # Half a microsecond forgives what binary floats do to 0.29 * 1000.
    found = int(float(timeout) * 1000 + 0.0005)
    if found > _FURTHEST:
        raise ValueError(f"{name} of {timeout} s lies too far ahead; use None")
    return max(found, GONE)


def moment(when: Any, unit: int) -> int:
    """Return a point in time in ms since the epoch.

    A number counts seconds (`unit` 1000) or milliseconds (`unit` 1).
    """
    if isinstance(when, datetime):
        return int(when.timestamp() * 1000)
    if isinstance(when, bool) or not isinstance(when, Real):
        raise TypeError(
            "when must be a datetime or a number since the epoch, "
            f"not {type(when).__name__}"
        )
    return int(float(when) * unit)


def _for_django(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that BaseCache reads, in forms that it accepts."""
    known = ("TIMEOUT", "timeout", "KEY_PREFIX", "VERSION", "KEY_FUNCTION")
    return {name: params[name] for name in known if name in params}
