"""Connections that are opened and not used.

idle.py SERVER
"""

import socket
import sys

from common import Truth, obey

server = sys.argv[1]
host, port = server.split(":")
truth = Truth()
kept = []


def start(n):
    """Does not wait for any."""
    for _ in range(int(n)):
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex((host, int(port)))
        kept.append(connection)
        truth.add(started=1)


def close():
    while kept:
        kept.pop().close()


obey(truth, start=start, close=close)
