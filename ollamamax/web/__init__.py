"""HTTP in: the door (channel and site), what stands before the routes, and the routes."""
