"""What the router tells its caller. A module of its own: Ray copies the router's module into servers, whose
classes would not be the caller's."""


class Pick:
    """Passed to `choose_replica`: the router writes there which replica it picked and when. Ray only returns
    after that replica has answered."""

    replica = ""
    picked_at = 0.0
