"""An MNS (Alibaba Simple Message Queue, API 2015-06-06) server that behaves, and misbehaves, as the vendor's does."""

from standin.mns.attributes import Attributes
from standin.mns.faults import KINDS, Fault, Faults
from standin.mns.message import Peeked
from standin.mns.queue import Queue
from standin.mns.standin import MnsStandin

__all__ = ["KINDS", "Attributes", "Fault", "Faults", "MnsStandin", "Peeked", "Queue"]
