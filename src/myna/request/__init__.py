"""One API request: authentication, limits, and the resources it holds until it ends."""
