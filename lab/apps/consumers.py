"""Clients of Redis with habits: pipelines of GETs, and consumers that wait for the next item of a list.

consumers.py REDIS
"""

import sys
import threading
import time

from common import Truth, connect, obey

(redis,) = sys.argv[1:]
truth = Truth()
# Requests at once; items a second, and how long a consumer waits before it asks again.
settings = {"depth": 1, "items": 0.0, "patience": 10}


def command(*words):
    parts = (b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n%s" % (len(words), b"".join(parts))


def pipeline():
    connection = connect(redis)
    while True:
        depth = int(settings["depth"])
        connection.sendall(command(b"GET", b"nothing") * depth)
        left = depth * len(b"$-1\r\n")
        while left > 0:
            left -= len(connection.recv(4096))
        truth.add(replies=depth)
        time.sleep(0.01)


def consume():
    connection = connect(redis)
    while True:
        connection.sendall(command(b"BLPOP", b"items", b"%d" % settings["patience"]))
        # An item, or that there was none.
        truth.add(items=connection.recv(4096).startswith(b"*2"))


def produce():
    connection = connect(redis)
    while True:
        if not settings["items"]:
            time.sleep(0.1)
            continue
        connection.sendall(command(b"RPUSH", b"items", b"x"))
        connection.recv(100)
        time.sleep(1 / settings["items"])


def start(what, n):
    for _ in range(int(n)):
        threading.Thread(target={"pipelines": pipeline, "consumers": consume}[what], daemon=True).start()


def set_to(name, value):
    settings[name] = type(settings[name])(float(value))


threading.Thread(target=produce, daemon=True).start()
obey(truth, start=start, set=set_to)
