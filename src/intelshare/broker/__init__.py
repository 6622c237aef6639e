"""THE LINE: the life of a bulletin as pure steps, in seven rooms. Begin with ``line``.

    line          one bulletin from its author to a recipient, in reading order
    exchange      what members tell each other about it: receipt, recall, consent, rfi, backfill
    treaty        the world by which pairs are decided changes
    lifecycle     what happens to a stored bulletin and its pairs until they end
    transparency  logs compared and proved
    queries       queries, which only read
    kernel        what every step uses

A step is ``step(node, view, event, now, random) -> Plan``: what to write, and the answer that may be given
when that is durable. The asyncio runtime (``node/``) and the simulator (``sim/``) carry out the same plans.
"""
