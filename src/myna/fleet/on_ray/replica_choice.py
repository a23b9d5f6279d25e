"""What the router tells its caller. A module of its own: Ray copies the router's module into servers, whose
classes would not be the caller's."""


class ReplicaChoice:
    """Passed to `choose_replica`: the router writes there which replica it chose, at which address, and when.
    Ray only returns after that replica has answered."""

    replica = node = ""
    chosen_at = 0.0
