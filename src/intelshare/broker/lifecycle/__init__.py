"""The life of a stored bulletin and its pairs until they end.

add_recipient  a bulletin is addressed to one more recipient
redecide       a stored pair is decided again, with the consents that may be carried
exclude        an operator stops dealing with a member, or resumes
anew           what no peer will accept as it was signed is signed again
review         the world has changed: what is on its way and is now denied is stopped
read           a reader opens what the reader may see
foreign        a portion under another state's label must come from a received bulletin
relations      a bulletin supersedes an earlier one, or replies to one
certificates   what this node's authorities have issued; one of them counts no more
duties         who has to report what about a received bulletin, until when
streams        numbers, neighbours, gaps
stop           what is over is stopped, and its number is cancelled
attachments    files in pieces: uploaded, kept, wanted, whole, ended
purge          what was delivered is not kept for ever
serving        which members get the pieces of a file
mend           a damaged record is rebuilt, requested from a peer, or dropped
rebuild        rows that follow from other rows
drop           an operator gives up damaged records that nobody has
pair_again     a damaged pair is made again from what is left of it
recalled       the members that are told of a recall
operator_acts  decisions that only a person may make
access         after the disk forgot, users and members wait until an operator has confirmed them
hearing        after the disk forgot, each member is waited for until it was heard
restored       bulletins whose keys are in no backup are forgotten, and asked for again
destroy        keys are deleted, the files shredded, and only then the node signs that it destroyed them
"""
