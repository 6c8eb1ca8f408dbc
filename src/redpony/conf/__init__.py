"""Django's settings to immutable configurations, once, with errors that help.

`read_alias` serves a backend, `alias_config` everything else. The table of all
options is data (`redpony.conf.table`); nothing here asks a server.
"""

from __future__ import annotations

from redpony.conf.links import project_directory
from redpony.conf.memo import alias_config, read_alias, settings_of
from redpony.conf.model import (
    AliasConfig,
    Examination,
    Misconfigured,
    Note,
    Problem,
    Treatment,
)
from redpony.conf.resolve import examine
from redpony.conf.rooms import (
    LockSettings,
    RealtimeSettings,
    lock_settings,
    realtime_settings,
)

__all__ = [
    "AliasConfig",
    "Examination",
    "LockSettings",
    "Misconfigured",
    "Note",
    "Problem",
    "RealtimeSettings",
    "Treatment",
    "alias_config",
    "examine",
    "lock_settings",
    "project_directory",
    "read_alias",
    "realtime_settings",
    "settings_of",
]
