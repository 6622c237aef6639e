"""Commands of operators, and those for everyone: set up, run, look after, ask about the program."""
