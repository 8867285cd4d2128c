"""What the applications of the lab share: commands on standard input, truth by the second, HTTP in a few lines."""

import json
import os
import socket
import sys
import threading
import time


def until_the_second_ends():
    """Sums added after this call still belong to the second that ends."""
    time.sleep(1 - (time.time() + 0.005) % 1)


class Truth:
    """What an application knows of itself, summed by the second in which it ended."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seconds = {}

    def add(self, **sums):
        with self.lock:
            second = self.seconds.setdefault(int(time.time()), {})
            for name, value in sums.items():
                second[name] = second.get(name, 0) + value

    def report(self):
        with self.lock:
            return json.dumps([{"t": t, **self.seconds[t]} for t in sorted(self.seconds)])


class Level:
    """How many there are of something, added up over time: divided by the seconds, the mean."""

    def __init__(self, truth, name):
        self.truth, self.name = truth, name
        self.lock = threading.Lock()
        self.level, self.since = 0, time.time()
        threading.Thread(target=self.every_second, daemon=True).start()

    def change(self, by):
        with self.lock:
            now = time.time()
            if self.level:
                self.truth.add(**{self.name: self.level * (now - self.since)})
            self.level, self.since = self.level + by, now

    def every_second(self):
        while True:
            until_the_second_ends()
            self.change(0)

    def __enter__(self):
        self.change(1)

    def __exit__(self, *_):
        self.change(-1)


def pool_counts(truth, pool):
    """Adds every second what the pool itself counts: checkouts, and those that found no connection free."""

    def count():
        while True:
            until_the_second_ends()
            counts = pool.pop_stats()
            truth.add(checkouts=counts.get("requests_num", 0), waited=counts.get("requests_queued", 0))

    pool.pop_stats()
    threading.Thread(target=count, daemon=True).start()


def obey(truth, port=0, **commands):
    """Prints that it is ready; then each line of input is a command with arguments, answered by one line.

    Ends with its standard input, even while threads run.
    """
    print(f"ready {port}", flush=True)
    commands["truth"] = truth.report
    for line in sys.stdin:
        name, *arguments = line.split()
        print(commands[name](*arguments) or "done", flush=True)
    os._exit(0)


def listen(address, backlog):
    host, port = address.split(":")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    listener.listen(backlog)
    return listener


def connect(address, timeout=None):
    host, port = address.split(":")
    connection = socket.socket()
    connection.settimeout(timeout)
    try:
        connection.connect((host, int(port)))
    except OSError:
        connection.close()
        raise
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_head(connection):
    """The first line of a request or a reply without a body of interest; None at the end."""
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(4096)
        if not part:
            return None
        head += part
    return head


def reply(body, keep=True):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n%s" % (
        len(body),
        b"keep-alive" if keep else b"close",
        body,
    )


def get(connection, path="/"):
    """One request on a connection; the reply's body, or an error if there is none."""
    connection.sendall(b"GET %s HTTP/1.1\r\nHost: lab\r\n\r\n" % path.encode())
    data = read_head(connection)
    if data is None:
        raise ConnectionError("closed without a reply")
    head, body = data.split(b"\r\n\r\n", 1)
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("closed within a reply")
        body += part
    return body


def serve_threads(listener, handle):
    """A thread for each connection, as most servers of this kind do."""

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                # No descriptor left: the next may be free soon.
                time.sleep(0.05)
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=run, args=(connection,), daemon=True).start()

    def run(connection):
        try:
            handle(connection)
        except OSError:
            pass
        finally:
            connection.close()

    threading.Thread(target=accept, daemon=True).start()
