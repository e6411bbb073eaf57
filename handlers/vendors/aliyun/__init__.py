"""Alibaba Cloud: the callback of a recorded file, of RTC (API 2018-01-11), and those of a recording of Live's ARTC."""

from __future__ import annotations

from handlers.vendor import Vendor
from handlers.vendors.aliyun import api, callbacks, live, signature, topic
from handlers.vendors.aliyun.certificates import Certificates, fetch_https
from handlers.vendors.aliyun.sample import SAMPLE

VENDOR = Vendor(
    name="aliyun",
    verify=signature.by_door(topic.Pushes(Certificates(fetch_https)).verify),
    keys=signature.keys,
    read=callbacks.read,
    doors=frozenset({"http", "mns-topic"}),
    proofs=topic.HEADERS | live.HEADERS,
    answer={"Code": 0, "Msg": "Success"},  # what Live expects; RTC and MNS do not read it
    sample=SAMPLE,
    operations=api.OPERATIONS,
)
