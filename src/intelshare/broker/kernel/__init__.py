"""The foundation of every step: the node, its tables, the transaction, the decision on one pair."""
