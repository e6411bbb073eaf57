"""Volcengine RTC: callbacks of recording, segment and push tasks."""

from __future__ import annotations

from handlers.vendor import Vendor
from handlers.vendors.volcengine import api, callbacks, signature

VENDOR = Vendor(
    name="volcengine",
    verify=signature.verify,
    keys=signature.keys,
    read=callbacks.read,
    operations=api.OPERATIONS,
)
