"""`python -m benchmarks.realtime.site NAME PORT DATABASE`: a contestant's site.

One uvicorn process, with uvloop and httptools. It says its port and a session's cookie.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from types import ModuleType
from typing import Any

from benchmarks.realtime.children import report_line
from benchmarks.realtime.contestants import BY_NAME, Contestant
from benchmarks.servers import HOST

MIDDLEWARE = (
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
)
APPLICATIONS = (
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
)


def configure(contestant: Contestant, database: str) -> None:
    """Have the settings of a contestant's project, and set Django up."""
    # A module, as projects have one: `settings.configure` makes settings that are slow
    # to say that something is not set.
    module: Any = ModuleType("settings_of_the_realtime_rows")
    module.SECRET_KEY = "of the benchmarks, and of nothing else"
    module.ALLOWED_HOSTS = ["*"]
    module.USE_TZ = True
    module.LOGGING_CONFIG = None
    module.DATABASES = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}
    }
    module.DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    module.INSTALLED_APPS = [*APPLICATIONS, *contestant.applications]
    module.MIDDLEWARE = list(MIDDLEWARE)
    module.ROOT_URLCONF = contestant.site
    for name, value in contestant.settings().items():
        setattr(module, name, value)
    sys.modules[module.__name__] = module
    os.environ["DJANGO_SETTINGS_MODULE"] = module.__name__
    import django

    django.setup()


def log_in() -> str:
    """Make the tables, a user and a session; return its cookie."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    user = User.objects.create(username="ada")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    connection.close()
    return f"sessionid={session.session_key}"


def main(name: str, port: int, database: str) -> None:
    import uvicorn

    contestant = BY_NAME[name](port)
    configure(contestant, database)
    cookie = log_in()
    listening = socket.create_server((HOST, 0), backlog=4096)
    config = uvicorn.Config(
        contestant.application(),
        loop="uvloop",
        http="httptools",
        log_level="critical",
        access_log=False,
        backlog=4096,
    )
    report_line({"port": listening.getsockname()[1], "cookie": cookie})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve([listening]))


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
