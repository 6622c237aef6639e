"""The path of one bulletin from its author to a recipient, in reading order.

submit     an analyst's draft is decided, encrypted and queued          -> OK, after the commit
handover   links have room: decided again, numbered, sealed, signed     -> frames, after the commit
read_ahead what a hand-over needs, read beside the writer if another process has stored it
receive    a peer's frame: verified before it is parsed                 -> acknowledgements, receipts
release    one release: opened, decided under the recipient's law, accepted
release_many  the plain releases of a frame, which are nearly all, in one loop: it can accept but not refuse
resend     unacknowledged statements that may still go, again as the same bytes
hand_back  releases that this node has forgotten come back from those who received them
hello      an incarnation begins; two nodes meet; each asks for what it misses
"""
