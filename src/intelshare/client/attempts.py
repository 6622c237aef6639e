"""Decides when a call is made again: a submission whose answer was lost, and what a replica left undone.

The node stores a key once, for ever (promise P2), so to submit again changes nothing but what people see:
where a replica ends, or the node is started again, the next attempt gets the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from intelshare.client.batch import unknown_outcome
from intelshare.errors import IntelshareError

A = TypeVar("A")

TIMES: Final = 4
"""The most attempts."""

PAUSE: Final = 0.3
"""The seconds between two of them, in which another replica, or the node itself, is there again."""

SOON: Final = 2.0
"""The seconds in which one of several replicas says who is calling; then another one is asked."""

_SILENT: Final = frozenset(("NODE_UNREACHABLE", "TIMED_OUT", "TLS_REFUSED"))
"""The codes of a replica that ends (gRPC says of some that TLS failed), or is frozen."""
NOT_HERE: Final = frozenset(("NOT_LEADING", "DRAINING", "STORE_UNAVAILABLE", "POLICY_UNAVAILABLE"))
"""The codes of a replica that has done nothing, while another one may do it."""


class Attempts:
    """Those of one submission."""

    def __init__(self, address: str) -> None:
        self.several = "," in address
        """Another replica may be asked instead of one that is silent."""
        self.sent = False
        """Set before the call whose loss leaves a doubt."""
        self.stuck = False
        """The one that was asked last is there and says nothing: another one is to be tried."""
        self._address = address
        self._made = 0
        self._lost: IntelshareError | None = None

    def failed(self, error: IntelshareError) -> IntelshareError | None:
        """Return the error that ends the submission; None: wait for ``PAUSE``, and try again.

        Once an answer was lost nothing but an answer to the key ends the doubt.
        """
        self._made += 1
        self.stuck = self.several and error.code == "TIMED_OUT"
        if self.sent and self._lost is None:
            told = error.code == "OUTCOME_UNKNOWN"  # the node's own word: its database went away
            self._lost = error if told else unknown_outcome(error, self._address)
        last = self._lost or error
        # One that is there and says nothing until the deadline is busy, and asked no more.
        if self._made >= TIMES or (error.code == "TIMED_OUT" and not self.several):
            return last
        again = self._lost is not None or (self.several and error.code in _SILENT | NOT_HERE)
        return None if again else last


def elsewhere(call: Callable[[], A], address: str, try_another: Callable[[], object]) -> A:
    """Make a call, of several replicas at the first that does it: one that does not has changed nothing.

    Raises what the last one raises.
    """
    for _ in range(address.count(",")):
        try:
            return call()
        except IntelshareError as error:
            if error.code not in NOT_HERE:
                raise
        try_another()
    return call()
