"""Logs that are compared and proved.

checkpoint         how far this node's log has grown, signed; how it follows from what a peer holds of it
known_checkpoints  what this node holds of the logs of others
witness            what peers sign of their logs is compared with what this node has seen
accusation         what a witness holds against a log, with proof or without
evidence           what is kept of statements that were rejected or contradict each other
proving            entries of the log with the path that proves them
"""
