"""What is seen: every metric's declaration, the state it is read from, and one registry per server."""
