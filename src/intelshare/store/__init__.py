"""Stores: SQLite for a node, memory for tests and the simulator, one contract (ports.Store) for both."""
