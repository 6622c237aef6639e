"""What commands share: options, output, tables, completion, codes."""
