"""Notifies systemd that the server is ready, if systemd started it with `Type=notify`."""

import contextlib
import os
import socket


def notify_systemd_ready() -> None:
    """Sends one datagram to the socket that NOTIFY_SOCKET names, see sd_notify(3). Failure is ignored."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith(("/", "@")):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", address.replace("@", "\0", 1))
