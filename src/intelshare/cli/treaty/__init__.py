"""The command treaty: files compared, drawn and checked; acts of a party on a running node."""
