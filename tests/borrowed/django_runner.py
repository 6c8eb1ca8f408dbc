"""Run Django's own cache and session tests against one backend.

`python django_runner.py TREE REPORT CACHE`: the source tree of Django, a file
for the results, and `CACHES["default"]` as JSON. It is a process of its own
because Django's tests want to be top-level modules and settings of their own.
Not a test module itself: `test_django_suite.py` starts it and judges.
"""

from __future__ import annotations

import json
import sys
import unittest
import warnings
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.test.runner import DiscoverRunner

SESSION_CASES = (
    "CacheSessionTests",
    "CacheDBSessionTests",
    "CacheDBSessionWithTimeZoneTests",
)
# Redis evicts by its own policy; no backend for it culls, Django's neither.
WITHOUT_CULLING = {"cull", "zero_cull"}


class Recorder(unittest.TextTestResult):
    """A result that also remembers which tests were run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.run_tests: list[str] = []

    def startTest(self, test: unittest.TestCase) -> None:
        self.run_tests.append(test.id())
        super().startTest(test)


class Runner(DiscoverRunner):
    """Django's runner with the recorder."""

    def get_resultclass(self) -> type[Recorder]:
        return Recorder


def main(tree: Path, report: Path, cache: dict[str, Any]) -> None:
    """Run the tests and write their outcomes as JSON."""
    sys.path.insert(0, str(tree / "tests"))
    _configure(tree, cache)
    # As Django's runtests.py does.
    warnings.simplefilter("error", ResourceWarning)
    warnings.simplefilter("error", RuntimeWarning)
    runner = Runner(verbosity=1)
    runner.setup_test_environment()
    databases = runner.setup_databases()
    suite = unittest.TestSuite(
        unittest.defaultTestLoader.loadTestsFromTestCase(case) for case in _cases(cache)
    )
    result = runner.run_suite(suite)
    runner.teardown_databases(databases)
    runner.teardown_test_environment()
    failed = [*result.failures, *result.errors]
    outcomes = {
        "run": result.run_tests,
        "failed": {test.id(): text for test, text in failed},
        "skipped": {test.id(): reason for test, reason in result.skipped},
    }
    report.write_text(json.dumps(outcomes))


def _configure(tree: Path, cache: dict[str, Any]) -> None:
    contrib = ("contenttypes", "auth", "sites", "sessions", "messages", "staticfiles")
    settings.configure(
        CACHES={"default": cache},
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
            "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        },
        INSTALLED_APPS=[
            *(f"django.contrib.{name}" for name in contrib),
            "cache",
            "sessions_tests",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
        ],
        MIGRATION_MODULES={"auth": None, "contenttypes": None, "sessions": None},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF="urls",
        SECRET_KEY="of Django's tests, and of nothing else",
        SITE_ID=1,
        STATIC_URL="static/",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [str(tree / "tests" / "templates")],
                "APP_DIRS": True,
            }
        ],
        USE_TZ=False,
    )
    django.setup()


def _cases(cache: dict[str, Any]) -> list[type[unittest.TestCase]]:
    from cache import tests as cache_tests
    from django.test import TestCase, override_settings
    from sessions_tests import tests as session_tests

    cases = cache_tests.caches_setting_for_tests(base=cache, exclude=WITHOUT_CULLING)

    @override_settings(CACHES=cases)
    class BackendTests(cache_tests.BaseCacheTests, TestCase):
        """Django's tests for all backends, as it is, `TypeError` of `incr` too."""

    found: list[type[unittest.TestCase]] = [BackendTests]
    return found + [getattr(session_tests, name) for name in SESSION_CASES]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
