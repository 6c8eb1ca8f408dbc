"""Settings of the demo: as few as a real site needs.

Everything the site writes lies in `BASE_DIR`: the database, and the files of the
embedded server. `DEMO_DATA` moves it elsewhere; `demo/check.py` does that. `run.py
--cluster` sets `DEMO_LOCATION`: to move from one server to a cluster is that one line.
"""

from __future__ import annotations

import os
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent
BASE_DIR = Path(os.environ.get("DEMO_DATA", DEMO)).resolve()

DEBUG = os.environ.get("DEMO_DEBUG", "1") == "1"
SECRET_KEY = "a demo has no secrets: make your own key for a real site"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
ROOT_URLCONF = "flightboard.urls"
ASGI_APPLICATION = "flightboard.asgi.application"

INSTALLED_APPS = [
    "django.contrib.staticfiles",
    "redpony",
    "flightboard",
    "departures",
    "cost",
    "outage",
    "seats",
]

MIDDLEWARE = [
    "cost.middleware.measure_cost",
    "flightboard.security.add_security_headers",
]

# Without DEBUG `embedded://` wants to be told that one machine is enough.
EMBEDDED = "embedded://" if DEBUG else "embedded://?production=1"

CACHES = {
    "default": {
        "BACKEND": "redpony.cache.RedisCache",
        "LOCATION": os.environ.get("DEMO_LOCATION", EMBEDDED),
        "KEY_PREFIX": "flights",
        "OPTIONS": {"ON_ERROR": "degrade"},
    }
}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        "OPTIONS": {
            "init_command": (
                "PRAGMA journal_mode=WAL;"
                "PRAGMA synchronous=NORMAL;"
                "PRAGMA mmap_size=268435456;"
                "PRAGMA cache_size=-32000;"
            ),
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "departures.switch.cache_switch",
                "outage.guard.outage",
            ],
        },
    }
]

STATIC_URL = "static/"
TIME_ZONE = "UTC"
USE_I18N = False

CSRF_COOKIE_SAMESITE = "Strict"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django.request": {"level": "ERROR"}},
}
