"""A worker program for `test_program.py`: starts a process that outlives it, and serves nothing."""

import socket
import subprocess
import sys

import msgspec

from myna.core.generator import ModelInfo
from myna.workers.frames import Ready, encode
from myna.workers.main import Launch

launch = msgspec.json.decode(sys.argv[1], type=Launch)
assert launch.confinement is None
server = socket.socket(fileno=launch.socket)
child = subprocess.Popen(["sleep", "1000"])
server.sendall(encode(Ready(ModelInfo("family", "family", 1, 1, 1, 1, arithmetic=str(child.pid)))))
while server.recv(1 << 16):
    pass
