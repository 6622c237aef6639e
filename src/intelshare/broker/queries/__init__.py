"""Queries, which only read: they write nothing, and do not wait in order with the steps.

lists      the inbox, the outbox, why a pair was decided so
withheld   how much was withheld from whom and why
search     words in what a reader may see
watch      events from the log
report     who shared what under which treaty, from the log
impact     the statements that a compromise of a key calls into question
export     one release with all that was signed and logged about it, for others
"""
