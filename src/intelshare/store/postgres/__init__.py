"""The rows of a node in PostgreSQL (extra ``postgres``): decisions 62 to 64."""
