"""What every step uses: the node, its tables, the transaction, the decision of one pair."""
