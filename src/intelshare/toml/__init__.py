"""Strict TOML with line and column."""
