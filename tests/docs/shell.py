"""Runs a page's shell blocks in a project, as a reader would in `manage.py shell`.

Started with the project as its working directory. Reads a list of blocks, each a
list of `[line, source, expected]`, from its first argument; prints how many
statements it ran and how many promises it checked.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any


def run(blocks: list[list[list[Any]]], page: str) -> None:
    shell: dict[str, Any] = {"__name__": "__main__"}
    ran = checked = 0
    for block in blocks:
        for line, source, expected in block:
            code = "\n" * (line - 1) + source
            try:
                if expected is None:
                    exec(compile(code, page, "exec"), shell)
                else:
                    got = eval(compile(code.strip(), page, "eval"), shell)
                    promised = eval(expected, shell)
                    if got != promised or type(got) is not type(promised):
                        raise AssertionError(f"got {got!r}, promised {promised!r}")
                    checked += 1
            except BaseException:
                traceback.print_exc()
                sys.exit(f"{page}, line {line}: {source}")
            ran += 1
    modules = sorted(
        name for name in sys.modules if name.partition(".")[0] in ("shop", "mysite")
    )
    print(json.dumps({"ran": ran, "checked": checked, "modules": modules}))


def main() -> None:
    sys.path.insert(0, str(Path.cwd()))
    os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"

    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    run(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])
    connections.close_all()


if __name__ == "__main__":
    main()
