"""Logs that are compared and proved.

checkpoint         how far this node's log has grown, signed; how it follows from what a peer holds of it
known_checkpoints  checkpoints that this node holds of the logs of others
witness            peers' signed checkpoints are compared with what this node has seen
accusation         charges of a witness against a log, with proof or without
evidence           statements that were rejected, or contradict each other, are kept
proving            entries of the log with the path that proves them
"""
