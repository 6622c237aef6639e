"""THE LINE: the life of a bulletin, one file a step, without I/O. Read them in this order:

    submit     an analyst's draft is decided, encrypted and queued          -> OK, after the commit
    handover   links have room: decided again, numbered, sealed, signed     -> frames, after the commit
    receive    a peer's frame: verified before it is parsed                 -> acknowledgements, receipts
    release    one release: opened, decided under the own law, accepted
    receipt    the recipient's signed word joins the pair at the sender
    read       a reader opens what it may
    relations  a bulletin supersedes an earlier one, or replies to one
    recall     the originator takes a bulletin back
    destroy    keys are deleted, the files shredded, and only then it is signed for
    consent    the third-party rule: asked, granted, refused, carried in the release
    again      a stored pair is decided anew, with the consents that may be carried
    rfi        requests for information, and duties: who owes what, until when
    act        a member acts as a party of a treaty: both ends' worlds follow
    review     the world has changed: what is on the way and is now denied is stopped
    resend     what is unacknowledged and may still go, again as the bytes it has
    backfill   what accession allows is offered to the party that acceded
    hello      an incarnation begins; two nodes meet; what is missing is asked for
    streams    numbers, neighbours, holes
    end        what is over stops by itself, and its number is cancelled
    checkpoint where the own log stands, signed; how it follows from what a peer holds of it
    watch      what has happened, from the log; search: words in what a reader may see
    witness    what peers say of their logs is held against what was seen; evidence, proving, report

A step is ``step(node, view, event, now, random) -> Plan``: what to write, and the answer that may be given
when that is durable. The asyncio shell (``node/``) and the simulator (``sim/``) carry out the same plans
and decide nothing.
"""
