"""Decides how a backtest is told: as one document to programs, in sentences and short lines to people."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from handlers.backtest import changed_fields
from handlers.moments import to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from handlers.backtest import Found
    from handlers.backtest.applying import Applied, Preview

Document = dict[str, Any]

_LEFT_OUT = {
    "quarantined": "in quarantine",
    "unreadable": "can't be read any more",
    "kept": "not processed yet",
}
_NOTES = (
    "What had been called before that time is not known: once_per, limits and names begin empty.",
    "Calls count as made at once: those that would have waited may have been superseded or cancelled meanwhile.",
)


def as_document(found: Found, path: Path) -> Document:
    """Return everything that was found, for programs."""
    document: Document = {
        "file": str(path),
        "version": found.version,
        "since": to_text(found.window.since),
        "until": to_text(found.window.until),
        "deliveries": dict(found.deliveries),
        "events": found.events,
        "seconds": round(found.seconds, 3),
        "events_per_second": round(found.events / found.seconds) if found.seconds else 0,
        "rules": [asdict(rule) for rule in found.rules],
        "paces": [asdict(pace) | {"peak_at": to_text(pace.peak_at)} for pace in found.paces],
        "calls": list(found.calls),
        "differences": None if found.differences is None else asdict(found.differences),
        "notes": list(_NOTES),
    }
    return document


def preview_document(seen: Preview) -> Document:
    """Return what would be planned, for programs."""
    return asdict(seen)


def applied_document(applied: Applied) -> Document:
    """Return what was planned, for programs."""
    return vars(applied) | {"new": dict(applied.new)}


def told(document: Document) -> Iterator[str]:
    """Yield the lines that a person reads."""
    deliveries = document["deliveries"]
    asked = deliveries["processed"] - deliveries["unreadable"]
    speed = f"{document['seconds']:,.1f} s, {document['events_per_second']:,} events/s"
    yield f"{_counted(asked, 'delivery')}, {_counted(document['events'], 'event')} since {document['since']} ({speed})"
    for name, what in _LEFT_OUT.items():
        if deliveries[name]:
            yield f"  left out: {_counted(deliveries[name], 'delivery')} {what}"
    if deliveries["silent"]:
        yield f"  {deliveries['silent']} of them came by import or replay, about which live rules are not asked"
    for rule in document["rules"]:
        yield ""
        yield from _rule(rule)
    yield from _paces(document["paces"])
    if document["calls"]:
        yield ""
        yield f"The first {_counted(len(document['calls']), 'call')}:"
        yield from map(_call, document["calls"])
    if document["differences"] is not None:
        yield from _differences(document["differences"])
    yield ""
    yield from document["notes"]


def _rule(rule: Mapping[str, Any]) -> Iterator[str]:
    marks = [word for word, is_so in (("shadow", rule["mode"] == "shadow"), ("disabled", not rule["enabled"])) if is_so]
    name = f"{rule['name']} ({', '.join(marks)})" if marks else rule["name"]
    yield f"{name}: {_counted(rule['matched'], 'match')}, {_counted(rule['calls'], 'call')}"
    if rule["shadow"]:
        yield f"  {_counted(rule['shadow'], 'call')} only shown, for it is in shadow"
    if rule["left_out"]:
        yield f"  {_counted(rule['left_out'], 'call')} left out: once_per was used up, or the same was planned before"
    for reason in rule["reasons"]:
        yield f"  {_counted(reason['calls'], 'call')} {reason['state']}: {_safe(reason['reason'] or '-')}"
    if rule["unmatched"]:
        counts = ", ".join(f"{reason} {count}" for reason, count in sorted(rule["unmatched"].items()))
        yield f"  not matched: {counts}"
    if rule["failure"]:
        yield f"  the condition last failed with: {_safe(rule['failure'])}"


def _paces(paces: list[Mapping[str, Any]]) -> Iterator[str]:
    if paces:
        yield ""
        yield "Calls a second, at the most:"
    for pace in paces:
        whose = f"{pace['quota']} {pace['api']}" if pace["quota"] else pace["api"]
        if pace["limit"] is None:
            yield f"  {whose}: {pace['peak']} at {pace['peak_at']}, no limit"
            continue
        line = f"  {whose}: {pace['peak']} at {pace['peak_at']}, the limit is {pace['limit']:g}"
        if pace["waiting"]:
            line += (
                f"; {_counted(pace['waiting'], 'call')} would have waited, up to {pace['longest_wait_ms'] / 1000:g} s"
            )
        yield line


def _call(call: Mapping[str, Any]) -> str:
    to = f" to {call['destination']}" if call["destination"] else ""
    parameters = json.dumps(call["parameters"], ensure_ascii=False)
    state = "" if call["state"] == "planned" else f" ({call['state']})"
    return _safe(f"  {call['at']} {call['rule']} on {call['subject']}: {call['operation']}{to} {parameters}{state}")


def _differences(found: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    version = f" ({found['version']})" if found["version"] else ", of which there are none"
    yield f"Against the rules in force{version}:"
    for count, verb, calls in (
        (found["only_here"], "only with this file", found["here"]),
        (found["only_there"], "only with the rules in force", found["there"]),
    ):
        yield f"  {_counted(count, 'call')} {verb}"
        yield from (f"  {_call(call)}" for call in calls)
    yield f"  {_counted(found['changed'], 'call')} changed"
    for pair in found["pairs"]:
        changes = "; ".join(f"{name} {was} -> {now}" for name, (was, now) in changed_fields(pair).items())
        after = pair["after"]
        yield _safe(f"    {after['at']} {after['rule']} on {after['subject']}: {changes}")


def told_preview(seen: Preview) -> Iterator[str]:
    """Yield what would be planned."""
    yield from _rule(asdict(seen.rule))
    yield from _before(seen.known, seen.gone)
    yield from map(_call, seen.calls)


def told_applied(applied: Applied) -> str:
    """Say what was planned."""
    states = dict(applied.new)
    new = f"{_counted(states.pop('planned', 0), 'call')} planned"
    ended = "".join(f", {count} {state}" for state, count in sorted(states.items()))
    out = f"; {applied.left_out} left out, for once_per was used up" if applied.left_out else ""
    before = "; ".join(line.strip() for line in _before(applied.known, applied.gone))
    return f"{new}{ended}{out}{f'; {before}' if before else ''}."


def _before(known: int, gone: int) -> Iterator[str]:
    if known:
        yield f"  {_counted(known, 'call')} planned before, left as they are"
    if gone:
        yield f"  {_counted(gone, 'call')} about what the catalogue does not hold any more, left out"


def _counted(number: int, what: str) -> str:
    plural = {"delivery": "deliveries", "match": "matches"}.get(what, f"{what}s")
    return f"{number:,} {what if number == 1 else plural}"


def _safe(text: str) -> str:
    """Return text that a vendor sent so that it can't steer a terminal."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
