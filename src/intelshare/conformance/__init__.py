"""The check of vectors, whoever wrote them, against this implementation. Pure: JSON values in, mismatches
out.
"""

from intelshare.conformance.run import Mismatch, conform

__all__ = ["Mismatch", "conform"]
