"""Questions that only read: they write nothing and are asked outside the line.

lists      the inbox, the outbox, why a pair was decided so
search     words in what a reader may see
watch      what has happened, from the log
report     who shared what under which treaty, from the log
impact     what a compromise of a key calls into question
export     one release with all that was signed and logged about it, for others
"""
