"""Tells systemd, where it started this server and asked to be told, that it is ready."""

import contextlib
import os
import socket


def tell_systemd_ready() -> None:
    """One datagram to the socket that NOTIFY_SOCKET names, see sd_notify(3). A server whose word does not
    arrive still serves."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith(("/", "@")):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", address.replace("@", "\0", 1))
