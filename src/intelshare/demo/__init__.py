"""The demo: three sovereign nodes on this machine, one scenario, every scene checked.

Everything is done as people do it: the commands ``init``, ``user add``, ``member export|import``, ``send``
and ``read`` themselves, nodes as processes, checks through the client library.
"""

from intelshare.demo.play import play
from intelshare.demo.scenario import CLIMATE, Analyst, Burst, Expected, Portion, Scenario

__all__ = ["CLIMATE", "Analyst", "Burst", "Expected", "Portion", "Scenario", "play"]
