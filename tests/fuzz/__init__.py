"""What reads foreign bytes, each with an oracle: one table, run shortly in CI and for long by `make fuzz`."""
