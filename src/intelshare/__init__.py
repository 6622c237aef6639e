"""intelshare: a federated broker for threat intelligence between sovereign members."""

__version__ = "0.1.0"
