"""What is unwise in how several servers stand to each other just now."""

from __future__ import annotations

from collections.abc import Iterator

from redpony.conf.model import AliasConfig
from redpony.management.node import Survey
from redpony.wire.config import Cluster, Sentinels

ENOUGH_SENTINELS = 3


def warnings(config: AliasConfig, survey: Survey) -> Iterator[str]:
    """Say what would hurt at the next failure."""
    topology = config.topology
    if topology is None:
        return
    nodes = [each for each in survey.nodes if each.name]
    for node in nodes:
        if node.role == "replica" and not node.linked:
            yield (
                f"The replica {node.address} is cut off from its primary. It is not "
                "read from, and cannot take over."
            )
    if isinstance(topology, Sentinels):
        known = max((each.others or 0 for each in nodes), default=0)
        if 0 < known < ENOUGH_SENTINELS:
            yield (
                f"{_count(known, 'sentinel')} {'watches' if known == 1 else 'watch'} "
                f'"{topology.service}": with fewer than {ENOUGH_SENTINELS}, the loss '
                "of one can leave nobody who may promote a replica."
            )
    if isinstance(topology, Cluster):
        yield from _lonely(survey)
    elif nodes and not any(each.role == "replica" for each in nodes):
        yield "There is no replica: when the primary is lost, so is what it holds."


def at_failover(survey: Survey) -> Iterator[str]:
    """Say what a failover means to locks that live here."""
    nodes = [each for each in survey.nodes if each.name]
    hasty = [
        each.address for each in nodes if each.role == "primary" and not each.waits
    ]
    if not hasty or not any(each.role == "replica" for each in nodes):
        return
    one = len(hasty) == 1
    yield (
        f"The {'primary' if one else 'primaries'} {', '.join(hasty)} "
        f"{'answers' if one else 'answer'} whether or not a replica follows "
        "(min-replicas-to-write is 0), and locks live here: one that was taken just "
        "before a failover may be unknown after it, and somebody else gets it too. "
        "min-replicas-to-write 1 makes that rarer; what is written in the name of a "
        "fence (held.fence) is safe from it."
    )


def _lonely(survey: Survey) -> Iterator[str]:
    """Primaries of a cluster that nobody follows; replicas come behind their own."""
    followed: dict[str, bool] = {}
    primary = ""
    for node in survey.nodes:
        if node.slots is not None:
            primary = node.address
            followed[primary] = False
        elif primary:
            followed[primary] = True
    alone = [address for address, has in followed.items() if not has]
    if alone:
        yield (
            f"{_count(len(alone), 'primary', 'primaries')} of the cluster "
            f"{'has' if len(alone) == 1 else 'have'} no replica "
            f"({', '.join(alone)}): when one is lost, so are its slots."
        )


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
