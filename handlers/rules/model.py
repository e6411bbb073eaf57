"""What a rule is once it is read: frozen values, checked for each change that it waits for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from handlers.settings.values import listed, meant, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from handlers.events import TaskKey
    from handlers.operation import Caveat, Parameters
    from handlers.rules.change import Change
    from handlers.rules.expressions import Expression
    from handlers.rules.nodes import Place
    from handlers.rules.templates import Template

Mode = Literal["live", "shadow"]
Scope = Literal["subject", "task", "room", "account"]

SCOPES: Final[tuple[Scope, ...]] = ("subject", "task", "room", "account")
MODES: Final[tuple[Mode, ...]] = ("live", "shadow")
#: milliseconds: how old an event may be for a vendor's call where the rule does not say
VENDOR_MAX_AGE: Final = 600_000


class OperationLike(Protocol):
    """What rules need of an operation: a vendor's (handlers.operation) is one, a destination's another."""

    @property
    def parameters(self) -> type[Parameters]:
        """The model of the parameters, under the API's names as aliases."""

    @property
    def own(self) -> Callable[[TaskKey, str | None], Mapping[str, str]]:
        """What a call has of its event unless it is given."""

    @property
    def lane(self) -> Callable[[Mapping[str, Any]], str | None]:
        """Of which one call may be under way at a time."""

    @property
    def task_type(self) -> str | None:
        """Of the task that a call is about."""

    @property
    def feeds(self) -> frozenset[str]:
        """The changes that a call can bring about."""

    @property
    def warnings(self) -> tuple[Caveat, ...]:
        """What its user may not expect."""


def derived_name(operation: OperationLike) -> str | None:
    """Return the parameter that names a new task, made from rule and change; destinations have none."""
    return getattr(operation, "derived", None)


def sequence_name(operation: OperationLike) -> str | None:
    """Return the parameter that is counted up with each attempt; destinations have none."""
    return getattr(operation, "sequence", None)


def unique_name(operation: OperationLike) -> str | None:
    """Return the parameter of which two tasks may not have the same value; destinations have none."""
    return getattr(operation, "unique", None)


def destination_kind(operation: OperationLike) -> str | None:
    """Return the kind of destination that its `to` names; a vendor's call has none."""
    return getattr(operation, "kind", None)


def takes_batches(operation: OperationLike) -> bool:
    """Tell whether it takes several changes at a time; a vendor's call does not."""
    return bool(getattr(operation, "takes_batches", False))


@dataclass(frozen=True, kw_only=True)
class Known:
    """What rules may name: operations, and where they are configured accounts and destinations."""

    #: by the name that rules write, such as `volcengine.update_segment`
    operations: Mapping[str, OperationLike]
    #: whose operations are a vendor's calls; all others are destinations'
    vendors: Collection[str]
    #: vendor and name of every account; None: not known here
    accounts: Collection[tuple[str, str]] | None = None
    #: kind of every destination by its name; None: not known here
    destinations: Mapping[str, str] | None = None
    #: names of the destinations that are handed one after the other
    ordered: Collection[str] = ()

    @property
    def words(self) -> Mapping[str, Collection[str]]:
        """Return the names of the vendors, and of the accounts where these are known."""
        names = {} if self.accounts is None else {"account": sorted({name for _, name in self.accounts})}
        return {"vendor": sorted(self.vendors), **names}

    def vendor_of(self, operation: str) -> str | None:
        """Return the vendor whose call it is; None for a destination's."""
        head = operation.partition(".")[0]
        return head if head in self.vendors else None

    def misfit(self, operation: str, to: str) -> str | None:
        """Tell why an operation can hand nothing over to a destination of this name; None: it can, as far as known."""
        wanted = destination_kind(self.operations[operation])
        if self.destinations is None or wanted is None or self.destinations.get(to) == wanted:
            return None
        fitting = sorted(name for name, kind in self.destinations.items() if kind == wanted)
        if to not in self.destinations:
            close = f"{meant(to, fitting)}; configured for {operation}: {listed(fitting)}"
            return f"there is no destination {quoted(to)}{close}"
        is_of = f"the destination {to} is of kind {self.destinations[to]}"
        return f"{is_of}; {operation} needs {wanted}: {listed(fitting)}"


@dataclass(frozen=True, kw_only=True)
class Limit:
    """At most so many calls within a span of milliseconds."""

    most: int
    within_ms: int


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How often a rule may act: in all, and for one task."""

    rule: Limit | None = None
    task: Limit | None = None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Changes are handed over together: at most `most`, none waiting longer than `within_ms`."""

    most: int
    within_ms: int


@dataclass(frozen=True, kw_only=True)
class Retry:
    """What a rule says of further tries; None: as the operation or destination does by itself."""

    #: tries in all, the first included
    tries: int | None = None
    #: milliseconds after the first try in which there may be others
    within_ms: int | None = None
    #: milliseconds from one try to the next; the last counts for all that follow
    delays_ms: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class OncePer:
    """A rule acts once for each of these, for ever or for a span of milliseconds."""

    scope: Scope = "subject"
    for_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """A rule as it is checked for one change."""

    condition: Expression | None
    #: the parameters of each step
    parameters: tuple[Mapping[str, Template], ...]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A call that a sample must lead to, or part of the reason for which there is none."""

    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    refused: str | None = None
    #: part of the reason for which the condition has no value: no call follows
    failed: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A sample change, and the calls that must follow from it."""

    name: str
    place: Place = field(compare=False)
    change: Change
    #: milliseconds that the event is old
    age_ms: int = 0
    expect: tuple[Expected, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When a change happens, do something."""

    name: str
    place: Place = field(compare=False)
    when: tuple[str, ...]
    #: names of accounts; None: all
    accounts: frozenset[str] | None = None
    enabled: bool = True
    once_per: OncePer = OncePer()
    mode: Mode = "live"
    #: milliseconds that an event may be old; None: any
    max_age_ms: int | None = None
    limits: Limits = Limits()
    batch: Batch | None = None
    retry: Retry = Retry()
    #: the operation of each step
    steps: tuple[str, ...]
    #: by change
    cases: Mapping[str, Case]
    samples: tuple[Sample, ...] = ()
    #: the vendor of its calls; None: it makes none
    vendor: str | None = None
