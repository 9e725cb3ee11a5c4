"""Which nodes there are, what is known of them, and which of them a request goes to."""
