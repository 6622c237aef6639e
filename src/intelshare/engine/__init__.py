"""The engine of a node: everything that decides when a step of the broker runs.

It has no I/O, no clock, and no randomness except what it is given. Events go in, actions come out;
two drivers carry them out, the asyncio node (``node.links``) and the simulator
(``sim.process``), and no rule about time, order or limits stands outside. In reading order:

    events         what goes in
    actions        what comes out
    values         what both name
    steps          the steps and queries it asks for, by name
    limits         every bound
    connections    who may hold a connection to a port
    engine         one row per event
    outcomes       one row per step and query that comes back
    turn           the handling of one event; what durable effects lead to
    peer_link      one link: hello, what comes in, what goes out
    greeting       the messages of its hello
    outgoing       what waits to leave on it
    peer_clock     how far the peer's clock is from this one
    links          all links; which of two to one peer stays
    dialling       when to dial, with backoff
    own_shown      what the peer is shown of its own member's directories
    gaps           what is asked for again
    sender         what leaves first, how much, and when to wait
    budgets        how much each peer may ask of this node
    answers        questions about logs, one at a time
    attachments    which parts of files are asked for, and answered
    destruction    mark, shred, sign
    log_position   checkpoint and sidecar
    mending        when damaged records are mended, and when they are looked at again
    hearing        after a loss: who is asked, and how long each is waited for
    space          how much room the disk has, and what is still accepted
    housekeeping   what is done each second
    stopping       an orderly stop
    following      what a replica learns from what the others have committed
    dividing       which members' links a replica has
"""

from intelshare.engine.actions import Action
from intelshare.engine.budgets import BUDGETS, Budget, BudgetState, Rate
from intelshare.engine.connections import ConnectionLimits, Connections, Reason
from intelshare.engine.engine import Engine
from intelshare.engine.events import Event
from intelshare.engine.limits import Limits, SpaceLimits
from intelshare.engine.steps import QUERIES, STEPS, Query, Step
from intelshare.engine.stopping import STOP_ORDER, Phase
from intelshare.engine.values import LinkId, LinkReport, Now

__all__ = [
    "BUDGETS",
    "QUERIES",
    "STEPS",
    "STOP_ORDER",
    "Action",
    "Budget",
    "BudgetState",
    "ConnectionLimits",
    "Connections",
    "Engine",
    "Event",
    "Limits",
    "LinkId",
    "LinkReport",
    "Now",
    "Phase",
    "Query",
    "Rate",
    "Reason",
    "SpaceLimits",
    "Step",
]
