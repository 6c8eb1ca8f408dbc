"""A private server for one project, shared by all of its processes.

`LOCATION: "embedded://"` leads here. The first process that needs the server
starts it, the others join it, and it is gone soon after the last one is.

How that is held together, without a daemon of the system and without a file
that could be left behind wrong:

* Every process that uses the server holds a shared lock on the file `users`
  for as long as it lives. The kernel takes the lock back when a process ends,
  however it ends.
* A supervisor, one small process, waits for an exclusive lock on `users`. It
  gets it when nobody is left, waits two seconds more, ends the server and goes.
* The server is killed by the kernel when its supervisor dies (Linux). Where
  that cannot be asked for, the next process that comes by finds a server
  without a supervisor and gives it a new one.
* A process connects first. Only if nothing answers it takes the lock `start`,
  looks again, and starts supervisor and server. So there is never a second.

The locks are always taken in the order `users`, `start`, `supervisor`; nobody
waits for `users` while holding one of the others.

Everything lies in a directory that belongs to the user alone; the server
listens on a socket in it and on no port.
"""

from __future__ import annotations

from redpony.embedded.address import Embedded, leave, stop
from redpony.embedded.status import Status, log_tail, status

__all__ = ["Embedded", "Status", "leave", "log_tail", "status", "stop"]
