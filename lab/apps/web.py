"""A server with one thread or many, and a configurable service time.

web.py ADDRESS serial|threads BACKLOG
"""

import random
import socket
import struct
import sys
import threading
import time

from common import Level, Truth, listen, obey, read_head, reply, serve_threads

address, kind, backlog = sys.argv[1:]
truth = Truth()
inside = Level(truth, "inside_s")
settings = {"service": 2.0, "cpu": 0.0, "bytes": 3, "idle": 0.0, "spread": 0.0}


def spin(seconds):
    """Uses processor time, as work does."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def work():
    began = time.time()
    with inside:
        service = settings["service"] * random.uniform(1 - settings["spread"], 1 + settings["spread"])
        if service:
            time.sleep(service / 1000)
        if settings["cpu"]:
            spin(settings["cpu"] / 1000)
    truth.add(requests=1, request_s=time.time() - began)
    return reply(b"x" * int(settings["bytes"]))


def handle(client):
    if settings["idle"]:
        client.settimeout(settings["idle"])
    try:
        while read_head(client):
            client.sendall(work())
    except TimeoutError:
        # Idle for too long: closed at once, which the client sees as a reset.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        truth.add(idle_resets=1)


def serial(listener):
    while True:
        client, _ = listener.accept()
        truth.add(accepted=1)
        try:
            client.settimeout(5)
            if read_head(client):
                client.sendall(work())
        except OSError:
            truth.add(gone=1)
        finally:
            client.close()


def set_to(name, value):
    settings[name] = float(value)


listener = listen(address, int(backlog))
if kind == "serial":
    threading.Thread(target=serial, args=(listener,), daemon=True).start()
else:
    serve_threads(listener, handle)
obey(truth, set=set_to)
