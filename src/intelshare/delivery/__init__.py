"""Delivery: facts of pairs and streams, window and retry, over digests only. Pure tables and small values.

What may happen to a pair is in ``pair``, what may be numbered and asked for in ``stream``, what may be on
a link at once in ``link``; nothing here knows what a bulletin says.
"""

from intelshare.delivery.link import LinkQueue
from intelshare.delivery.pair import BestReceipt, Cause, Facts, PairStatus, Stage, status_of
from intelshare.delivery.retry import Backoff
from intelshare.delivery.stream import MAX_ASKED, MAX_RANGES, Incoming, NumberVerdict, Ranges, arrive

__all__ = [
    "MAX_ASKED",
    "MAX_RANGES",
    "Backoff",
    "BestReceipt",
    "Cause",
    "Facts",
    "Incoming",
    "LinkQueue",
    "NumberVerdict",
    "PairStatus",
    "Ranges",
    "Stage",
    "arrive",
    "status_of",
]
