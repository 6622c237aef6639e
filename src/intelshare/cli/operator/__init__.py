"""Commands of operators, and those for everybody: set up, run and maintain a node; ask about the program."""
