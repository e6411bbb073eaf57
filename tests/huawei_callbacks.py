"""Huawei's callbacks as the tests sign and send them."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

KEY = "0123456789abcdef0123456789abcdef"
OLD_KEY = "fedcba9876543210fedcba9876543210"
#: the same time in both units
SECONDS, MILLISECONDS = "1790000000", "1790000000123"


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def sign(rand: str, timestamp: str, body: bytes, key: str = KEY) -> str:
    """Sign as the vendor's page does: the three, one right after the other."""
    return hmac.new(key.encode(), rand.encode() + timestamp.encode() + body, hashlib.sha256).hexdigest()


def headers_of(rand: str, timestamp: str, body: bytes, key: str = KEY) -> dict[str, str]:
    return {"x-rtc-rand": rand, "x-rtc-timestamp": timestamp, "x-rtc-signature": sign(rand, timestamp, body, key)}
