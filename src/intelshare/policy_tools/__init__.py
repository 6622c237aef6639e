"""Tools for whoever writes policy or checks an implementation. Pure: text in, values out."""

from intelshare.policy_tools.conformance import Mismatch, conform

__all__ = ["Mismatch", "conform"]
