"""What an API does that may not be expected of a call, said only of the calls of which it is true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: of the parameters that are given, without nulls; a value that only a change will tell is a text, whatever it will be
Condition = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True)
class Caveat:
    """One warning of an operation."""

    text: str
    #: tells whether it is true of a call of these parameters; None: of every call
    when: Condition | None = None


def caveats_of(caveats: Iterable[Caveat], parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is true of a call of these parameters, or may be once a change tells the values that are open."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return (caveat.text for caveat in caveats if caveat.when is None or caveat.when(given))


def gives(*paths: str) -> Condition:
    """Return a condition that holds where one of these is given, such as `Duration` or `Layout.CustomLayout.Canvas`."""
    return lambda parameters: any(_is_given(parameters, path) for path in paths)


def leaves_out(*names: str) -> Condition:
    """Return a condition that holds where one of these is not given."""
    return lambda parameters: any(name not in parameters for name in names)


def _is_given(value: Any, path: str) -> bool:  # noqa: ANN401 - any JSON value
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return True  # an object that only a change will tell
        value = value.get(name)
        if value is None:
            return False
    return True
