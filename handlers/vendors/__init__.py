"""Every vendor that Reelhook knows, one line each."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from handlers.vendors import aliyun, huawei, volcengine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.vendor import Vendor

#: by the name that stands in the callback URL and in `vendor = "..."`
VENDORS: Mapping[str, Vendor] = MappingProxyType(
    {
        "aliyun": aliyun.VENDOR,
        "volcengine": volcengine.VENDOR,
        "huawei": huawei.VENDOR,
    }
)
