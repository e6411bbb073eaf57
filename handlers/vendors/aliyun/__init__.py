"""Alibaba Cloud RTC (API 2018-01-11): the callback of a recorded file."""

from __future__ import annotations

from handlers.vendor import Vendor
from handlers.vendors.aliyun import callbacks, signature
from handlers.vendors.aliyun.sample import SAMPLE

VENDOR = Vendor(
    name="aliyun",
    verify=signature.verify,
    keys=signature.keys,
    read=callbacks.read,
    sample=SAMPLE,
)
