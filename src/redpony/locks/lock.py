"""`Lock`: one holder at a time, over all processes; first come, first served.

A lock on Redis is a lease, not a guarantee: whoever is stopped for longer than the
lease may wake up in the middle of its work while another one has the lock. So there is
`held.fence`, and `held.lost`. What follows from that for the code under the lock is in
the docs, *Locks*.
"""

from __future__ import annotations

from collections.abc import Callable

from redpony.alias import Alias
from redpony.locks.claim import Claim
from redpony.locks.ending import Release
from redpony.locks.held import Held
from redpony.locks.plain import plain as plain_terms
from redpony.locks.terms import Exclusive, exclusive, own_key
from redpony.plan import Plan, both


class Lock(Claim[Exclusive]):
    """A lock under a name, for threads, tasks, processes and machines.

        with Lock("import") as held: ...
        async with Lock("import") as held: ...

    `timeout` None: the lease is 30 s and is renewed until the lock is given back.
    A number of seconds: it is held so long at most. `blocking_timeout` is how long to
    wait for it, None for ever. An object serves any number of threads and tasks.

    * `using`: the alias of `CACHES` whose server it lives on; by default
      `REDPONY["LOCKS"]["ALIAS"]`.
    * `key`: the server's key; by default one of its own. With the bare key that others
      use in `SET key token NX PX ...` it excludes them, and they exclude it.
    * `reentrant`: who has it may take it again, and gives it back as often.
    * `thread_local` False: who gives it back need not be who took it.
    * `raise_on_release_error` False: a body that outlasted its lease is not told.
    * `on_lost`: called with the holding if it is lost, by the thread that looks after
      leases; do not block it.
    * `lease`: the length of a lease that is renewed, in seconds; by default
      `REDPONY["LOCKS"]["LEASE"]`.
    * `replicas`: so many of them have to know of the holding before it is one; `LockError`
      if they do not within a second. One more round trip, and a smaller window in which
      a failover forgets a lock; not none.
    * `plain`: without a fence, by the server's own commands where it has them (Valkey
      9.0, Redis 8.4): the fastest. It excludes other locks of its name and stands in
      one line with them; but where a holder died, a newcomer may pass that line by.
    * `release`: "on_commit" keeps it, renewed, until the transaction is over that
      `database` (an alias of `DATABASES`) is in when it would be given back, committed
      or rolled back; the thread or task may take it again until then. One that is lost
      by the end of the `with` raises `LockLost` there; one that is lost later cannot
      stop the commit any more: it is logged, and `on_lost` is called. Call
      `held.check()` last in the transaction, and write with `held.fence`. Without
      `release`, giving it back in a transaction warns (`ReleasedInTransaction`);
      "now" is for those who mean it.
    """

    def __init__(
        self,
        name: str,
        *,
        using: str | Alias | None = None,
        key: str | None = None,
        timeout: float | None = None,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        reentrant: bool = False,
        thread_local: bool = True,
        raise_on_release_error: bool = True,
        on_lost: Callable[[Held], object] | None = None,
        lease: float | None = None,
        plain: bool = False,
        replicas: int = 0,
        release: Release | None = None,
        database: str = "default",
    ) -> None:
        super().__init__(
            name,
            using=using,
            timeout=timeout,
            blocking=blocking,
            blocking_timeout=blocking_timeout,
            reentrant=reentrant,
            thread_local=thread_local,
            raise_on_release_error=raise_on_release_error,
            on_lost=on_lost,
            lease=lease,
            replicas=replicas,
            release=release,
            database=database,
        )
        self.key = key or own_key(self.alias.config.key_prefix, name, "lock")
        self.terms = plain_terms(self.key) if plain else exclusive(self.key)

    # What there is to know

    def _locked(self) -> Plan[bool]:
        """Return whether anybody has the lock. One round trip."""
        return (yield from self.terms.taken())

    locked, alocked = both(_locked)

    def _owned(self) -> Plan[bool]:
        """Return whether this thread or task has the lock, asking the server."""
        held = self.held
        if held is None or held.is_parents:
            return False
        return (yield from self.terms.has(held.token))

    owned, aowned = both(_owned)

    def _owner(self) -> Plan[str | None]:
        """Return the holder's token, None where nobody has the lock. One round trip.

        Ours end in the host and the process that made them.
        """
        token = yield from self.terms.owner()
        return None if token is None else token.decode(errors="backslashreplace")

    owner, aowner = both(_owner)
