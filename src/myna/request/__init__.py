"""One request of an endpoint: who sends it, what it may use, and what it opens until it ends."""
