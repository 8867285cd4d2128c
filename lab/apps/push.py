"""A server that pushes messages to its clients, and clients that only send pings.

push.py serve ADDRESS
push.py follow ADDRESS CLIENTS
"""

import sys
import threading
import time

from common import Truth, connect, listen, obey, serve_threads

role, address, *rest = sys.argv[1:]
truth = Truth()


def tell(client):
    def news():
        try:
            while True:
                time.sleep(0.7)
                client.sendall(b"news" * 20)
                truth.add(told=1)
        except OSError:
            pass

    client.sendall(b"welcome")
    threading.Thread(target=news, daemon=True).start()
    while client.recv(100):
        client.sendall(b"pong")


def follow():
    connection = connect(address)

    def ping():
        while True:
            time.sleep(3)
            connection.sendall(b"ping")

    connection.sendall(b"hello")
    threading.Thread(target=ping, daemon=True).start()
    while connection.recv(4096):
        truth.add(heard=1)


if role == "serve":
    serve_threads(listen(address, 128), tell)
else:
    for _ in range(int(rest[0])):
        threading.Thread(target=follow, daemon=True).start()
obey(truth)
