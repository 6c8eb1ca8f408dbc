"""Real time that is broken on purpose, and the tests that see it.

`python -m tests.realtime.mutants [NAME ...]`, as `tests.locks.mutants`.
"""

from __future__ import annotations

import sys
from functools import partial

from tests.locks.mutants import Mutant, survivors

Broken = partial(Mutant, room="realtime")

READING, PAGES, PRESENCE = "test_reading.py", "test_pages.py", "test_presence.py"
PUBLISHING, SERVERS = "test_publishing.py", "test_servers.py"

MUTANTS = [
    Broken(
        "a gap that is not looked at",
        "realtime/feed.py",
        "elif not self._is_known(entry, head):",
        "elif False:",
        READING,
        "not_heard_is_read",
    ),
    Broken(
        "a subscription that is not followed by a look at the position",
        "realtime/feed.py",
        "            self._is_synced()\n            return\n        self._sync()\n",
        "            self._is_synced()\n            return\n        self._syncing or "
        "self.head is not None or self._sync()\n",
        READING,
        "nobody_could_hear",
    ),
    Broken(
        "a server that fell back and is believed",
        "scripts/lua/_position.lua",
        "if epoch and (last > epoch or (last == epoch and count > offset)) then",
        "if false then",
        READING,
        "publisher_that_has_seen_more",
    ),
    Broken(
        "a number that is given twice",
        "realtime/feed.py",
        "self._is_forked = each.body != entry.body",
        "self._is_forked = False",
        READING,
        "given_twice",
    ),
    Broken(
        "a reset that nobody is told",
        "realtime/feed.py",
        "            seat.reset(position, why)\n",
        "            seat.position = position\n",
        READING,
        "data_that_was_lost",
    ),
    Broken(
        "a history that does not reach back so far, and nobody says so",
        "realtime/feed.py",
        "            if position.offset != expected:\n",
        "            if False:\n",
        READING,
        "not_have_any_more",
    ),
    Broken(
        "a slow reader that is live all the same",
        "realtime/seat.py",
        "        self.feed.live.pop(self, None)\n        self.is_behind = True\n",
        "        self.is_behind = True\n",
        READING,
        "slow_now_and_then",
    ),
    Broken(
        "an id that says more than was sent",
        "realtime/seat.py",
        "                for each in entries:\n                    self._give(each)\n",
        "                self.position = entries[-1].position if entries else head\n"
        "                for each in entries:\n                    outlet.put(self, each)\n",
        PAGES,
        "reconnects_misses_nothing",
    ),
    Broken(
        "a silent connection that is listened to for ever",
        "realtime/feed.py",
        "                    self.hub.lose(self)\n",
        "                    pass\n",
        READING,
        "silent_connection",
    ),
    Broken(
        "a channel that everybody may read",
        "realtime/asking.py",
        "    if type(channel).can_subscribe is Channel.can_subscribe:\n        return False\n",
        "    if type(channel).can_subscribe is Channel.can_subscribe:\n        return True\n",
        PAGES,
        "nobody_reads",
    ),
    Broken(
        "a foreign page that is trusted",
        "realtime/origins.py",
        '    if origin == f"{scheme}://{host}":\n',
        "    if origin:\n",
        PAGES,
        "foreign_page",
    ),
    Broken(
        "a log-out that nobody hears of",
        "realtime/control.py",
        '            if each.identity == said["disconnect"] and same:\n',
        "            if False:\n",
        PAGES,
        "log_out",
    ),
    Broken(
        "a message that is published before the commit",
        "realtime/publishing.py",
        "    if on_commit and commit.is_open(database):\n"
        "        _after_commit(partial(_send, [draft]), database)\n",
        "    if False:\n        _after_commit(partial(_send, [draft]), database)\n",
        PUBLISHING,
        "after_the_commit",
    ),
    Broken(
        "an idempotency key that is forgotten",
        "scripts/lua/publish.lua",
        "  if before then\n",
        "  if false then\n",
        READING,
        "idempotency",
    ),
    Broken(
        "a user who leaves when one of his pages does",
        "scripts/lua/presence.lua",
        "if redis.call('HINCRBY', KEYS[4], user, -1) <= 0 then",
        "if redis.call('HINCRBY', KEYS[4], user, -1) <= 1 then",
        PRESENCE,
        "same_everywhere",
    ),
    Broken(
        "a server that says no good-bye",
        "realtime/closing.py",
        "    _leaving.add(number)\n    end_all()\n",
        "    _leaving.add(number)\n",
        SERVERS,
        "told_of_the_end",
    ),
]

if __name__ == "__main__":
    sys.exit(1 if survivors(sys.argv[1:], MUTANTS) else 0)
