"""What is told of the server in its log: the line of a request, text or JSON, where twistd writes it."""
