"""The demo: sovereign nodes on this machine, a scenario, every scene checked.

Everything is done as people do it: the commands themselves, nodes as processes, checks through the client
library and what commands print with ``--json``.
"""

from intelshare.demo.climate import STORY, climate
from intelshare.demo.five import five
from intelshare.demo.play import play
from intelshare.demo.record import record
from intelshare.demo.scenario import Analyst, Expected, Portion, Scenario, Scene, Sending

__all__ = [
    "STORY",
    "Analyst",
    "Expected",
    "Portion",
    "Scenario",
    "Scene",
    "Sending",
    "climate",
    "five",
    "play",
    "record",
]
