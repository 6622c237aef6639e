"""What happens to a stored bulletin and its pairs until they end.

add_recipient  a bulletin is for one more recipient
redecide       a stored pair is decided again, with the consents that may be carried
exclude        an operator stops dealing with a member, or goes on
anew           what a compromised key signed is handed over once more
review         the world has changed: what is on the way and is now denied is stopped
read           a reader opens what the reader may see
foreign        what is handed in under another state's label comes from a received bulletin
relations      a bulletin supersedes an earlier one, or replies to one
duties         who has to report what about a received bulletin, until when
streams        numbers, neighbours, gaps
stop           what is over stops by itself, and its number is cancelled
attachments    files in pieces: uploaded, kept, wanted, whole, ended
purge          what was delivered is not kept for ever
serving        to whom the pieces of a file go
restored       bulletins whose keys are in no backup are forgotten, and asked for again
destroy        keys are deleted, the files shredded, and only then the node signs that it destroyed them
"""
