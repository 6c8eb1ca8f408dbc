"""What a lock promises, one check a promise: I1 to I14 of the research, and the fence.

`CHECKS` holds what a history shows. A check returns what it complains about, in
words. What no history shows has a test of its own:

    I7   test_scripts.py: each script twice, in each state (and `doubling`, in the runs)
    I8   test_steps.py: cancelled at every await; test_interrupts.py: at every bytecode
    I10  test_promises.py: the keys of any name lie in one slot
    I11  test_line.py: a forked child; test_promises.py: one that waits, one that takes
    I12  test_lock.py: reentrance; the runs enter again, and complain ("torn")
    I13  test_promises.py: who has not got it cannot release it ("stolen", in the runs)
    I14  test_promises.py: a lock that is gone is known to be lost before its deadline
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

from redpony.locks.terms import SLICE
from tests.locks.diary import LEASE, LIMITS
from tests.locks.history import History, Holding
from tests.locks.spans import meets

Check = Callable[[History], list[str]]
CHECKS: dict[str, Check] = {}


def promise(name: str) -> Callable[[Check], Check]:
    def note(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return note


def violations(history: History) -> dict[str, list[str]]:
    """Return what each check complains about; nothing, where all is well."""
    found = {name: check(history) for name, check in CHECKS.items()}
    return {name: complaints for name, complaints in found.items() if complaints}


def crowds(history: History) -> list[list[Holding]]:
    """Return who surely held something together, and was too many."""
    found = []
    for name, mine in history.by_name().items():
        inside: list[Holding] = []
        for each in mine:
            inside = [other for other in inside if other.sure > each.began]
            inside.append(each)
            if sum(other.weight for other in inside) > LIMITS[name]:
                found.append(list(inside))
    return found


def is_excused(history: History, crowd: list[Holding]) -> bool:
    """Return whether a server may have forgotten one of them before the last came."""
    first = min(each.began for each in crowd)
    return meets(history.losses, first, crowd[-1].began)


@promise("I1")
def one_holder(history: History) -> list[str]:
    """At every moment the sum of the weights of those who surely hold is in bounds.

    For a lock: one holder; for a writer: nobody beside it. Where a server forgot what
    it had acknowledged (a failover, a restart without data, a clock that was set
    forward) nothing but fences can keep this promise; those cases are counted apart.
    """
    return [
        " and ".join(map(str, crowd))
        for crowd in crowds(history)
        if not is_excused(history, crowd)
    ] + [what for which, what in history.findings if which == "I1"]


@promise("I2")
def fences_grow(history: History) -> list[str]:
    """Fences strictly increase in the order of grants, whatever the server forgot.

    Between holdings that exclude each other; a fence is never given twice. Where a
    server forgot one while its holder was still sure, and the next had asked before
    that, nobody but the server knows which of them it granted first.
    """
    complaints = []
    for name, mine in history.by_name().items():
        best: dict[int, Holding] = {}
        for each in mine:
            complaints += [
                f"{each} after {other}"
                for weight, other in best.items()
                if weight + each.weight > LIMITS[name]
                and other.fence >= each.fence
                and not (
                    other.sure > each.began
                    and is_excused(history, [other, each])
                    and history.asked(each) < other.began
                )
            ]
            if each.weight not in best or best[each.weight].fence < each.fence:
                best[each.weight] = each
    given = Counter((each.name, each.fence) for each in history.holdings)
    complaints += [f"twice: {each}" for each, times in given.items() if times > 1]
    return complaints


@promise("I3")
def valid_is_true(history: History) -> list[str]:
    """Who surely holds is the server's holder, too, unless the server forgot him."""
    began = {(h.pid, h.who, h.name, h.fence): h.began for h in history.holdings}
    return [
        str(each)
        for each in history.told("stray")
        if not meets(
            history.losses,
            began[each.pid, each.who, each.name, int(each.rest[0])],
            each.at,
        )
    ]


@promise("I4")
def no_lost_wake_up(history: History) -> list[str]:
    """Something free that a live one waits for is his within a push.

    As long as nothing is done to anybody; where one message was lost, within
    `SLICE`, which is what an inspector looks for on the server all the time.
    """
    began, ended = history.calm
    complaints = [
        f"{name} was free for {until - since:.3f} s from {since:.3f}"
        for name in LIMITS
        for since, until in history.idle(name)
        if began <= since and until <= ended and until - since > history.slack
    ]
    return complaints + [
        f"the server had {name} free for {streak:.2f} s, and somebody in line"
        for name, streak in history.streaks.items()
        if streak > SLICE + history.slack
    ]


@promise("I5")
def crashes_are_got_over(history: History) -> list[str]:
    """After a holder's crash the next one is in within a lease and `SLICE`.

    Each one that died in line, or was stopped there, costs what it is granted.
    """
    complaints = []
    for name in LIMITS:
        for since, until in history.idle(name):
            allowed = LEASE + SLICE + history.slack + 1
            allowed += sum(
                seconds for at, seconds in history.delays if since - 10 <= at <= until
            )
            if until - since > allowed:
                complaints.append(
                    f"{name} was nobody's for {until - since:.2f} s from {since:.3f}, "
                    f"allowed are {allowed:.2f}"
                )
    return complaints


@promise("I6")
def first_come_first_served(history: History) -> list[str]:
    """Who came first gets it first, while nothing is done to anybody.

    So neither readers nor writers nor heavy ones starve: nobody who came later by
    more than a slow round trip passes by.
    """
    began, ended = history.calm
    by_name = defaultdict(list)
    for each in history.waits:
        if each.entered and began <= each.began and each.ended <= ended:
            by_name[each.name].append(each)
    complaints = []
    for name, mine in by_name.items():
        # By when they got it: who came long before one that got it long before?
        mine.sort(key=lambda each: each.ended)
        for index, late in enumerate(mine):
            for each in mine[:index]:
                if (
                    each.began > late.began + history.slack
                    and each.ended < late.ended - history.slack
                ):
                    complaints.append(
                        f"{name}: {each.pid}-{each.who} came at {each.began:.3f} and "
                        f"passed by {late.pid}-{late.who} of {late.began:.3f}"
                    )
    return complaints


@promise("I9")
def nothing_is_left(history: History) -> list[str]:
    """After the last user and its time no key is there; none is ever without an end."""
    complaints = [f"left: {key!r}" for key in sorted(history.left)]
    return complaints + [what for which, what in history.findings if which == "I9"]


@promise("I12")
def entered_again(history: History) -> list[str]:
    """Who enters again has the same holding, and keeps it when he leaves the inner."""
    return [str(each) for each in history.told("torn")]


@promise("I13")
def nobody_elses(history: History) -> list[str]:
    """A token that was never given releases nothing."""
    return [str(each) for each in history.told("stolen")]


@promise("I14")
def told_in_time(history: History) -> list[str]:
    """Who loses a lock is told by its deadline, or as soon as it can go on again."""
    complaints = []
    for each in history.told("lost"):
        due = float(each.rest[1])
        for pid, (began, ended) in history.stops:
            if pid == each.pid and began <= due + history.slack and ended > due:
                due = ended
        if each.at > due + 0.5 + history.slack:
            complaints.append(f"{each}: {each.at - due:.2f} s late")
    return complaints


@promise("fence")
def no_late_write(history: History) -> list[str]:
    """No write was accepted after one with a larger fence, or from two with the same."""
    complaints = []
    best: dict[str, int] = {}
    writers: dict[tuple[str, int], str] = {}
    for each in history.entries:
        if not each.accepted:
            continue
        if each.fence < best.get(each.name, 0):
            complaints.append(f"{each} after fence {best[each.name]}")
        best[each.name] = max(best.get(each.name, 0), each.fence)
        writer = writers.setdefault((each.name, each.fence), each.writer)
        if writer != each.writer:
            complaints.append(f"{each}, and {writer}")
    return complaints


@promise("refusal")
def no_holder_is_refused(history: History) -> list[str]:
    """Who surely held while he wrote was not refused, unless a server forgot him."""
    began = {(h.pid, h.who, h.name, h.fence): h.began for h in history.holdings}
    complaints = []
    for each in history.told("write"):
        if each.rest[1] != "refused-sure":
            continue
        since = began[each.pid, each.who, each.name, int(each.rest[0])]
        if not meets(history.losses, since, each.at):
            complaints.append(str(each))
    return complaints


@promise("errors")
def nobody_met_what_it_did_not_expect(history: History) -> list[str]:
    """No contender printed the trace of an error, from whatever thread."""
    return [what for which, what in history.findings if which == "errors"]


@promise("both sides")
def both_sides_get_it(history: History) -> list[str]:
    """Readers and writers, light ones and heavy ones: each gets its turn."""
    got = Counter((each.name, each.weight) for each in history.holdings)
    wanted = [("r", 1), ("r", LIMITS["r"]), ("s", 1), ("s", 2), ("s", 3)]
    return [
        f"nobody of weight {each[1]} had {each[0]}" for each in wanted if not got[each]
    ]
