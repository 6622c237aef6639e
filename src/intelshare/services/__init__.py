"""What the node offers its own users: messages of user.proto to values, and back."""
