"""Generated from proto/intelshare/v1 by `make proto`; a test compares."""
