"""Sorted sets: members with a score each, in the order of their scores.

Members are in canonical form, as those of sets. Scores are floats; bounds may be
"-inf", "+inf", or "(5" for what lies above 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from redpony.cache.room import Room
from redpony.commands import (
    ZADD,
    ZCARD,
    ZCOUNT,
    ZINCRBY,
    ZPOPMAX,
    ZPOPMIN,
    ZRANGE,
    ZRANGEBYSCORE,
    ZRANK,
    ZREM,
    ZREMRANGEBYRANK,
    ZREMRANGEBYSCORE,
    ZREVRANGE,
    ZREVRANGEBYSCORE,
    ZREVRANK,
    ZSCORE,
    Argument,
    Command,
    Kind,
)
from redpony.errors import Unavailable, WriteRefused
from redpony.plan import Plan, both

Bound = float | str
Scored = list[tuple[Any, float]]
Cast = Callable[[float], Any]


class SortedSets(Room):
    """Redis' sorted-set commands on cache keys."""

    def _zadd(
        self,
        key: Any,
        mapping: Mapping[Any, float],
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
        incr: bool = False,
        gt: bool = False,
        lt: bool = False,
        version: int | None = None,
    ) -> Plan[Any]:
        """Add members with their scores; return how many are new.

        `ch` counts the changed ones too; `incr` adds to one member's score and
        returns the new score, or None where a condition was not met. One round
        trip, atomic.
        """
        if not mapping:
            raise ValueError("zadd needs at least one member with its score")
        if incr and len(mapping) != 1:
            raise ValueError("zadd with incr takes exactly one member")
        args: list[Argument] = [self._key(key, version)]
        options = {"NX": nx, "XX": xx, "GT": gt, "LT": lt, "CH": ch, "INCR": incr}
        args += [name for name, chosen in options.items() if chosen]
        for member, score in mapping.items():
            args += [_score(score), self._member(member)]
        try:
            reply = yield Command(ZADD, tuple(args))
        except (Unavailable, WriteRefused) as error:
            if incr:  # a counter, as `zincrby`
                raise
            return self.alias.degraded("zadd", error, 0)
        if incr:
            return None if reply is None else float(reply)
        return reply

    zadd, azadd = both(_zadd)

    def _zcard(self, key: Any, version: int | None = None) -> Plan[int]:
        """Return how many members there are. One round trip."""
        return (yield ZCARD(self._key(key, version)))  # type: ignore[no-any-return]

    zcard, azcard = both(_zcard)

    def _zcount(
        self, key: Any, min: Bound, max: Bound, version: int | None = None
    ) -> Plan[int]:
        """Return how many members have a score between two. One round trip."""
        full = self._key(key, version)
        return (yield ZCOUNT(full, _score(min), _score(max)))  # type: ignore[no-any-return]

    zcount, azcount = both(_zcount)

    def _zincrby(
        self, key: Any, amount: float, value: Any, version: int | None = None
    ) -> Plan[float]:
        """Add to a member's score, which starts at 0; return the new score.

        One round trip, atomic.
        """
        full = self._key(key, version)
        return float((yield ZINCRBY(full, _score(amount), self._member(value))))

    zincrby, azincrby = both(_zincrby)

    def _zpopmax(
        self, key: Any, count: int | None = None, version: int | None = None
    ) -> Plan[Any]:
        """Remove the member with the highest score; return it with the score.

        None from an empty set. With `count`, a list of at most so many. One round
        trip, atomic.
        """
        return (yield from self._pop_scored(ZPOPMAX, key, count, version))

    zpopmax, azpopmax = both(_zpopmax)

    def _zpopmin(
        self, key: Any, count: int | None = None, version: int | None = None
    ) -> Plan[Any]:
        """Remove the member with the lowest score; as `zpopmax`."""
        return (yield from self._pop_scored(ZPOPMIN, key, count, version))

    zpopmin, azpopmin = both(_zpopmin)

    def _pop_scored(
        self, kind: Kind, key: Any, count: int | None, version: int | None
    ) -> Plan[Any]:
        full = self._key(key, version)
        if count is None:
            found = self._scored((yield kind(full)), float)
            return found[0] if found else None
        try:
            return self._scored((yield kind(full, b"%d" % count)), float)
        except (Unavailable, WriteRefused) as error:
            return self.alias.degraded(kind.name.lower(), error, [])

    def _zrange(
        self,
        key: Any,
        start: int,
        end: int,
        desc: bool = False,
        withscores: bool = False,
        score_cast_func: Cast = float,
        version: int | None = None,
    ) -> Plan[list[Any]]:
        """Return the members from rank `start` to `end`, both included.

        With `withscores`, pairs of member and score. One round trip.
        """
        kind = ZREVRANGE if desc else ZRANGE
        args = (b"%d" % start, b"%d" % end)
        return (
            yield from self._ranged(
                kind, key, args, withscores, score_cast_func, version
            )
        )

    zrange, azrange = both(_zrange)

    def _zrevrange(
        self,
        key: Any,
        start: int,
        end: int,
        withscores: bool = False,
        score_cast_func: Cast = float,
        version: int | None = None,
    ) -> Plan[list[Any]]:
        """Return members by rank from the highest score down; as `zrange`."""
        args = (b"%d" % start, b"%d" % end)
        return (
            yield from self._ranged(
                ZREVRANGE, key, args, withscores, score_cast_func, version
            )
        )

    zrevrange, azrevrange = both(_zrevrange)

    def _zrangebyscore(
        self,
        key: Any,
        min: Bound,
        max: Bound,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: Cast = float,
        version: int | None = None,
    ) -> Plan[list[Any]]:
        """Return the members with a score between two, lowest first.

        `start` and `num` cut a slice out of them. One round trip.
        """
        args = (_score(min), _score(max), *_limit(start, num))
        return (
            yield from self._ranged(
                ZRANGEBYSCORE, key, args, withscores, score_cast_func, version
            )
        )

    zrangebyscore, azrangebyscore = both(_zrangebyscore)

    def _zrevrangebyscore(
        self,
        key: Any,
        max: Bound,
        min: Bound,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: Cast = float,
        version: int | None = None,
    ) -> Plan[list[Any]]:
        """Return the members with a score between two, highest first."""
        args = (_score(max), _score(min), *_limit(start, num))
        return (
            yield from self._ranged(
                ZREVRANGEBYSCORE, key, args, withscores, score_cast_func, version
            )
        )

    zrevrangebyscore, azrevrangebyscore = both(_zrevrangebyscore)

    def _zrank(
        self, key: Any, value: Any, withscore: bool = False, version: int | None = None
    ) -> Plan[Any]:
        """Return a member's rank from the lowest score (0), or None.

        With `withscore`, a list of rank and score (a server of 7.2 or later).
        One round trip.
        """
        return (yield from self._rank(ZRANK, key, value, withscore, version))

    zrank, azrank = both(_zrank)

    def _zrevrank(
        self, key: Any, value: Any, withscore: bool = False, version: int | None = None
    ) -> Plan[Any]:
        """Return a member's rank from the highest score (0), or None."""
        return (yield from self._rank(ZREVRANK, key, value, withscore, version))

    zrevrank, azrevrank = both(_zrevrank)

    def _rank(
        self, kind: Kind, key: Any, value: Any, withscore: bool, version: int | None
    ) -> Plan[Any]:
        args = (self._key(key, version), self._member(value))
        if not withscore:
            return (yield Command(kind, args))
        reply = yield Command(kind, (*args, b"WITHSCORE"))
        return None if reply is None else [reply[0], float(reply[1])]

    def _zrem(self, key: Any, *values: Any, version: int | None = None) -> Plan[int]:
        """Remove members; return how many were there. One round trip, atomic."""
        if not values:
            return 0
        args: tuple[Argument, ...] = (
            self._key(key, version),
            *map(self._member, values),
        )
        return (yield Command(ZREM, args))  # type: ignore[no-any-return]

    zrem, azrem = both(_zrem)

    def _zremrangebyscore(
        self, key: Any, min: Bound, max: Bound, version: int | None = None
    ) -> Plan[int]:
        """Remove the members with a score between two; return how many.

        One round trip, atomic.
        """
        full = self._key(key, version)
        reply = yield ZREMRANGEBYSCORE(full, _score(min), _score(max))
        return reply  # type: ignore[no-any-return]

    zremrangebyscore, azremrangebyscore = both(_zremrangebyscore)

    def _zremrangebyrank(
        self, key: Any, start: int, end: int, version: int | None = None
    ) -> Plan[int]:
        """Remove the members of some ranks, both included; return how many.

        One round trip, atomic.
        """
        full = self._key(key, version)
        reply = yield ZREMRANGEBYRANK(full, b"%d" % start, b"%d" % end)
        return reply  # type: ignore[no-any-return]

    zremrangebyrank, azremrangebyrank = both(_zremrangebyrank)

    def _zscore(
        self, key: Any, value: Any, version: int | None = None
    ) -> Plan[float | None]:
        """Return a member's score, or None. One round trip."""
        reply = yield ZSCORE(self._key(key, version), self._member(value))
        return None if reply is None else float(reply)

    zscore, azscore = both(_zscore)

    def _ranged(
        self,
        kind: Kind,
        key: Any,
        args: tuple[Argument, ...],
        withscores: bool,
        cast: Cast,
        version: int | None,
    ) -> Plan[list[Any]]:
        words = (self._key(key, version), *args)
        if not withscores:
            decode = self._codec.decode_member
            return [decode(data) for data in (yield Command(kind, words))]
        reply = yield Command(kind, (*words, b"WITHSCORES"))
        return self._scored(reply, cast)

    def _scored(self, reply: list[Any], cast: Cast) -> list[Any]:
        """Return pairs, from RESP3's pairs or from RESP2's flat list."""
        if reply and not isinstance(reply[0], list):
            reply = [list(pair) for pair in zip(reply[::2], reply[1::2], strict=True)]
        decode = self._codec.decode_member
        return [(decode(data), cast(float(score))) for data, score in reply]

    def _member(self, value: Any) -> bytes:
        return self._codec.encode_member(value, allow_int=False)


def _score(score: Any) -> bytes:
    if isinstance(score, str):
        return score.encode()
    if isinstance(score, bool):
        raise TypeError("a score must be a number, not bool")
    if isinstance(score, int):
        return b"%d" % score
    number = float(score)
    if math.isnan(number):
        raise ValueError("a score must be a number, not nan")
    return repr(number).encode()


def _limit(start: int | None, num: int | None) -> tuple[Argument, ...]:
    if start is None and num is None:
        return ()
    if start is None or num is None:
        raise ValueError("start and num go together")
    return (b"LIMIT", b"%d" % start, b"%d" % num)
