"""Delivery: facts of pairs and streams, window and retry, over digests only. Pure tables and small values.

``pair`` defines what may happen to a pair, ``stream`` what may be numbered and asked for, ``link`` what may
be on a link at once; nothing here knows the content of a bulletin.
"""

from intelshare.delivery.link import LinkQueue, LinkWord
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
    "LinkWord",
    "NumberVerdict",
    "PairStatus",
    "Ranges",
    "Stage",
    "arrive",
    "status_of",
]
