"""The wire: generated messages, the strict scan of what a peer sends, and conversion to core values."""
