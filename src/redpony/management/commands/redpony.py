"""`manage.py redpony ...`: what an operator needs."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from redpony.errors import RedponyError
from redpony.management import acl, doctor, locks, realtime, server, status


class Command(BaseCommand):
    """Dispatches to the sub-commands; each has a module of its own."""

    help = "Look at Redis as this project uses it."
    # What is wrong with the settings is what these commands are there to say.
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the sub-commands."""
        parts = parser.add_subparsers(dest="part", required=True, metavar="COMMAND")
        seen = parts.add_parser("status", help="is every server there, and how is it?")
        seen.add_argument("alias", nargs="?", help="this alias only")
        told = parts.add_parser(
            "doctor", help="what is wrong or unwise, and what moving over changes"
        )
        told.add_argument("alias", nargs="?", help="this alias only")
        told.add_argument(
            "--offline", action="store_true", help="look at the settings only"
        )
        own = parts.add_parser("server", help="the embedded server of this project")
        own.add_argument(
            "action",
            nargs="?",
            choices=["status", "start", "stop", "log"],
            default="status",
        )
        own.add_argument("--alias", help="the alias whose server it is")
        own.add_argument("--lines", type=int, default=20, help="lines of the log")
        acl.add_arguments(
            parts.add_parser(
                "acl", help="a server's user with no more rights than needed"
            )
        )
        locks.add_arguments(
            parts.add_parser("locks", help="who has which lock, and who waits for it")
        )
        realtime.add_arguments(
            parts.add_parser(
                "realtime", help="which channels there are, and what is said on them"
            )
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Run a sub-command; ends with exit code 1 if something is wrong."""
        try:
            well, lines = self._run(options)
        except RedponyError as error:
            raise CommandError(str(error)) from error
        self._say(lines)
        if not well:
            raise SystemExit(1)

    def _run(self, options: dict[str, Any]) -> tuple[bool, list[str]]:
        if options["part"] == "status":
            return status.status(options["alias"])
        if options["part"] == "doctor":
            return doctor.doctor(options["alias"], offline=options["offline"])
        if options["part"] == "acl":
            said, notes = acl.acl(options)
            for line in notes:
                # Standard output is an ACL file; the rest is for people.
                self.stderr.write(line, style_func=str)
            return True, said
        rooms = {"locks": locks.locks, "realtime": realtime.realtime}
        if options["part"] in rooms:
            return rooms[options["part"]](options, self.stdout.write)
        own = server.find(options["alias"])
        if options["action"] == "start":
            server.start(own, self.stdout.write)
            return True, []
        if options["action"] == "stop":
            return True, server.stop(own)
        if options["action"] == "log":
            return True, server.log(own, options["lines"])
        return server.show(own)

    def _say(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write(line)
