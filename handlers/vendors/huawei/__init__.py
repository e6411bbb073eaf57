"""Huawei Cloud RTC (SparkRTC, API v2): record callbacks."""

from __future__ import annotations

from handlers.vendor import Vendor
from handlers.vendors.huawei import api, callbacks, signature

VENDOR = Vendor(
    name="huawei",
    verify=signature.verify,
    keys=signature.keys,
    read=callbacks.read,
    proofs=signature.HEADERS,
    answer={"result": "success"},
    operations=api.OPERATIONS,
)
