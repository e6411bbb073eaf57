"""Which actions a change asks for: pure, without database or network."""

from __future__ import annotations

from handlers.rules.book import RuleBook
from handlers.rules.change import Change
from handlers.rules.matching import Answer, Asked, Once, Rules, Unmatched
from handlers.rules.model import Batch, Known, Limit, Limits, Retry, Rule
from handlers.rules.problems import Problem

__all__ = [
    "Answer",
    "Asked",
    "Batch",
    "Change",
    "Known",
    "Limit",
    "Limits",
    "Once",
    "Problem",
    "Retry",
    "Rule",
    "RuleBook",
    "Rules",
    "Unmatched",
]
