"""The simulator: the real broker steps over virtual time, network and disk."""
