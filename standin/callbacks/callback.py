"""What goes out: a callback that is ready to be sent, and the account at Reelhook that it is for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.events import Incoming

#: the vendors, in the order in which they are told of
VENDORS = ("volcengine", "huawei", "aliyun")
#: how a message may stand in a queue: as it is, in base64, or within the envelope of a topic that feeds the queue
ENCODINGS = ("raw", "base64", "topic", "topic-xml")


@dataclass(frozen=True, kw_only=True)
class Counterpart:
    """An account at Reelhook, as its vendor knows it."""

    vendor: str
    account: str
    #: what the vendor signs with; empty: it does not sign
    secret: str = field(default="", repr=False)
    #: the secret that stands in the callback URL
    token: str | None = field(default=None, repr=False)
    #: whose topic of MNS it is, and what it is called
    topic_owner: str = "1234567890"
    topic_name: str = "recordings"


@dataclass(frozen=True, kw_only=True)
class Callback:
    """One callback, whole."""

    vendor: str
    account: str
    #: http, mns or mns-topic
    door: str
    #: names in lower case
    headers: Mapping[str, str]
    #: through a queue: the message as it stands there
    body: bytes
    #: the secret that stands in the callback URL
    token: str | None = field(default=None, repr=False)
    #: the vendor's word, for people
    word: str = ""

    @property
    def target(self) -> str:
        """The path and query of the callback URL."""
        path = f"/callbacks/{self.vendor}/{self.account}"
        path += "/mns-topic" if self.door == "mns-topic" else ""
        return path if self.token is None else f"{path}?token={quote(self.token, safe='')}"

    def incoming(self, received_at: int) -> Incoming:
        """Return the callback as it stands at its door at that time, milliseconds UTC."""
        from handlers.events import Incoming  # noqa: PLC0415 - whoever sends needs none of it

        return Incoming(
            vendor=self.vendor,
            account=self.account,
            door=self.door,
            received_at=received_at,
            headers=self.headers,
            body=self.body,
            token=self.token,
        )
