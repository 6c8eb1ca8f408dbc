"""A PostgreSQL server of the tests' own, on a unix socket in a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

# Ends with us, however we end: nobody else holds the other end of its input.
RUN = """
"$0" -D "$1/data" -k "$1" -c listen_addresses= -c fsync=off -c max_connections=20 \
    >"$1/log" 2>&1 </dev/null &
read -r _
kill -QUIT $!
wait
rm -rf "$1"
"""


def program(name: str) -> str:
    """Return where a program of PostgreSQL is."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name) or (str(debian[-1]) if debian else None)
    if found is None:
        raise RuntimeError(f"{name} is missing (Debian: apt-get install postgresql)")
    return found


class Postgres:
    """A running server with an empty database."""

    def __enter__(self) -> Self:
        # The path of a socket may have a hundred letters or so. And root may not run it.
        self.folder = Path(tempfile.mkdtemp(prefix="rp-pg-", dir="/tmp"))
        user: dict[str, Any] = {}
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        environment = {**os.environ, "LC_ALL": "C"}
        options = ["-U", "redpony", "-A", "trust", "-E", "UTF8", "--no-sync"]
        data = ["-D", str(self.folder / "data")]
        made = subprocess.run(
            [program("initdb"), *data, *options],
            capture_output=True,
            text=True,
            cwd="/",
            env=environment,
            **user,
        )
        assert made.returncode == 0, made.stderr
        self._process = subprocess.Popen(
            ["sh", "-c", RUN, program("postgres"), str(self.folder)],
            stdin=subprocess.PIPE,
            cwd="/",
            env=environment,
            start_new_session=True,
            **user,
        )
        self._wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate()

    @property
    def settings(self) -> dict[str, Any]:
        """What it is in DATABASES."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": "redpony",
            "HOST": str(self.folder),
        }

    def _wait(self) -> None:
        import psycopg

        end = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(
                    f"host={self.folder} user=redpony dbname=postgres"
                ).close()
            except psycopg.OperationalError:
                log = self.folder / "log"
                said = log.read_text() if log.exists() else ""
                assert time.monotonic() < end, said
                assert self._process.poll() is None, said
                time.sleep(0.02)
            else:
                return
