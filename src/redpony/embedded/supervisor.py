"""Keep one server alive while somebody uses it, then end it and go.

Run by path, as `python -I -S supervisor.py`, with nothing but the standard
library, so that it stays small; it outlives the process that started it. It is
handed the locked file `supervisor` and keeps that lock for life: while it is
held, there is a supervisor.

The main thread waits for the server's end, a second one for the users' end.
The kernel kills the server when the main thread's process dies, whatever kills
it (Linux). Joining touches the file `users`, so somebody who came and went
during the grace period starts that period anew.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
import sys
import time

if sys.platform != "win32":
    import fcntl


LOG_BYTES = 1024 * 1024
TICK = 60.0
POLITE = 10.0


def birth(pid: int) -> str:
    """Return what tells a process from a later one with the same id."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may hold anything, parentheses as well.
            return file.read().rpartition(b")")[2].split()[19].decode("ascii")
    except (OSError, IndexError):
        return "?"


def bound_log(path: str) -> None:
    """Set a log aside that has grown too large; one predecessor is kept."""
    try:
        if os.stat(path).st_size > LOG_BYTES:
            os.replace(path, path + ".1")
    except FileNotFoundError:
        pass


class Supervisor:
    """One server, its state directory and the end of both."""

    def __init__(self, directory: str, grace: float, lock: int, persist: bool) -> None:
        self.directory = directory
        self.grace = grace
        self.lock = lock
        self.persist = persist
        self.users = self._open("users")
        self.start = self._open("start")
        self.server = 0
        self.handle = -1
        self.ending = False

    def launch(self, command: list[str], data_lock: int) -> None:
        """Start the server as a child that cannot outlive this process."""
        supervisor = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                os.dup2(2, 1)  # the log
                _die_with(supervisor)
                if data_lock >= 0:  # as long as the server lives, and no longer
                    os.set_inheritable(data_lock, True)
                os.execv(command[0], command)
            except BaseException as error:  # noqa: BLE001
                os.write(2, f"redpony: {command[0]}: {error}\n".encode())
            os._exit(127)
        if data_lock >= 0:
            os.close(data_lock)
        self.watch(child)

    def watch(self, server: int) -> None:
        """Take charge of a server that runs."""
        self.server = server
        if sys.platform == "linux":
            try:
                self.handle = os.pidfd_open(server)
            except OSError:  # an old kernel, or forbidden: look at times instead
                self.handle = -1

    def run(self) -> None:
        """Return when the server has ended, by us or by somebody else."""
        _thread.start_new_thread(self._await_users, ())
        due = time.monotonic() + TICK
        while not self._ended(max(0.0, due - time.monotonic())):
            if time.monotonic() >= due:
                due = time.monotonic() + TICK
                self._tick()
        if self.ending and self._in_place():
            # We hold `start` and, alone, `users`: nobody starts one meanwhile.
            for name in ("s", "parents"):
                try:
                    os.unlink(self._path(name))
                except FileNotFoundError:
                    pass

    def note(self, text: str) -> None:
        """Write a line into the log; never fails, for what follows must happen.

        It is open already: the directory may have been removed.
        """
        try:
            os.write(2, f"{os.getpid()}:redpony {time.ctime()} {text}\n".encode())
        except OSError:
            pass

    def _await_users(self) -> None:
        try:
            while not self._nobody_left():
                pass
            self.ending = True
            self.note("nobody uses the server any more: ending it")
            if self.persist:
                self._signal(signal.SIGTERM)
                time.sleep(POLITE)
            self._signal(signal.SIGKILL)
        except BaseException as error:  # noqa: BLE001
            self.note(f"supervisor failed: {error!r}")
            os._exit(1)

    def _nobody_left(self) -> bool:
        fcntl.flock(self.users, fcntl.LOCK_EX)
        seen = os.fstat(self.users).st_mtime_ns
        fcntl.flock(self.users, fcntl.LOCK_UN)
        time.sleep(self.grace)
        if self._parent_lives():
            return False
        fcntl.flock(self.start, fcntl.LOCK_EX)
        try:
            fcntl.flock(self.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            if os.fstat(self.users).st_mtime_ns == seen:
                return True
            fcntl.flock(self.users, fcntl.LOCK_UN)
        fcntl.flock(self.start, fcntl.LOCK_UN)
        return False

    def _parent_lives(self) -> bool:
        try:
            with open(self._path("parents"), encoding="ascii") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return False
        return any(_lives(*line.split()) for line in lines)

    def _ended(self, patience: float) -> bool:
        if self.handle >= 0:
            poller = select.poll()
            poller.register(self.handle, select.POLLIN)
            return bool(poller.poll(patience * 1000))
        limit = time.monotonic() + patience
        while True:
            try:
                if os.waitpid(self.server, os.WNOHANG)[0]:
                    return True
            except ChildProcessError:  # adopted
                if not _lives(str(self.server), "?"):
                    return True
            if time.monotonic() >= limit:
                return False
            time.sleep(0.2)

    def _signal(self, number: signal.Signals) -> None:
        try:
            if sys.platform == "linux" and self.handle >= 0:
                signal.pidfd_send_signal(self.handle, number)
            else:
                os.kill(self.server, number)
        except ProcessLookupError:
            pass

    def _tick(self) -> None:
        bound_log(self._path("server.log"))
        # Cleaners of temporary directories spare what was used of late. The
        # time of writing stays: it says when somebody last joined.
        for name in ("users", "start", "supervisor", "stamp", "parents", "."):
            try:
                written = os.stat(self._path(name)).st_mtime_ns
                os.utime(self._path(name), ns=(time.time_ns(), written))
            except FileNotFoundError:
                pass

    def _in_place(self) -> bool:
        """Whether the directory is still the one that we were started for."""
        try:
            return os.path.samestat(os.fstat(self.users), os.stat(self._path("users")))
        except FileNotFoundError:
            return False

    def _open(self, name: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self._path(name), flags, 0o600)

    def _path(self, name: str) -> str:
        return f"{self.directory}/{name}"


def _lives(pid: str, born: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return birth(int(pid)) == born or born == "?"


def _die_with(supervisor: int) -> None:
    """Have the kernel kill this process when `supervisor` dies (Linux)."""
    if sys.platform == "linux":
        try:
            import ctypes

            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        except (ImportError, OSError, AttributeError):
            return  # the next process that joins looks for a supervisor
        if os.getppid() != supervisor:  # it died before we asked
            os._exit(1)


def _settle() -> None:
    """Forget what the process that started us had set up for itself."""
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(0o077)


def main(arguments: list[str]) -> None:
    """Take `directory grace persist lock data-lock adopted [command...]`."""
    directory, grace, persist, lock, data_lock, adopted, *command = arguments
    child = os.fork()
    if child:  # end, so that nobody has to wait for the one that stays
        os.ftruncate(int(lock), 0)
        os.pwrite(int(lock), b"%d\n" % child, 0)
        os._exit(0)
    _settle()
    os.set_inheritable(int(lock), False)
    one = Supervisor(directory, float(grace), int(lock), persist == "1")
    try:
        if int(adopted):
            one.watch(int(adopted))
        else:
            one.launch(command, int(data_lock))
        one.run()
    except BaseException as error:  # noqa: BLE001
        one.note(f"supervisor failed: {error!r}")
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
