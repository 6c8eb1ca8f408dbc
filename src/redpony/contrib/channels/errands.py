"""What a process owes the server: what was received, and which groups it has left.

Told soon after, in one command for all that has come together; what could not be told is
told with the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redpony.errors import RedponyError

if TYPE_CHECKING:
    from redpony.contrib.channels.office import Office
    from redpony.contrib.channels.topics import Group


async def run(office: Office, driver: Any) -> None:
    """Tell all that there is to tell; raises nothing of ours."""
    while office.unsaid or office.deserted:
        with office.lock:
            unsaid, office.unsaid = office.unsaid, {}
            deserted, office.deserted = office.deserted, []
        try:
            while unsaid:
                inbox, numbers = next(iter(unsaid.items()))
                await driver.ask(office.terms.received(inbox.names, numbers))
                del unsaid[inbox]
            while deserted:
                await _desert(office, driver, deserted[-1])
                deserted.pop()
        except RedponyError:
            return
        finally:
            with office.lock:
                for inbox, numbers in unsaid.items():
                    office.unsaid.setdefault(inbox, []).extend(numbers)
                office.deserted.extend(deserted)


async def _desert(office: Office, driver: Any, group: Group) -> None:
    who = office.member
    await driver.ask(office.terms.leave(group.names, who))
    with office.lock:
        again = office.known_group(group.name)
    if again is not None and (again.members or again.joining):
        # Somebody has joined in the meantime.
        await driver.ask(office.terms.join(group.names, who))
