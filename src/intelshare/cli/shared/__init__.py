"""Modules that commands share: options, output, tables, completion, codes."""
