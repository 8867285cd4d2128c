"""A threaded HTTP application that reads from Redis: each thread on a connection of its own, reopened when it breaks.

cache.py ADDRESS REDIS
"""

import random
import sys
import threading
import time

from common import Truth, connect, listen, obey, read_head, reply, serve_threads

address, redis = sys.argv[1:]
truth = Truth()
here = threading.local()


def read(connection):
    connection.sendall(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
    if not connection.recv(100):
        raise ConnectionError("closed without a reply")


def work():
    try:
        if getattr(here, "redis", None) is None:
            here.redis = connect(redis)
        read(here.redis)
        return b"ok\n"
    except OSError:
        truth.add(failed=1)
        if getattr(here, "redis", None) is not None:
            here.redis.close()
            here.redis = None
        # What it has without the cache.
        return b"stale\n"


def handle(client):
    while read_head(client):
        body = work()
        truth.add(requests=1)
        client.sendall(reply(body))


def job():
    """A background task that opens a connection for each of its calls, twice a second."""
    while True:
        began = time.time()
        try:
            connection = connect(redis)
            read(connection)
            connection.close()
            truth.add(jobs=1)
        except OSError:
            truth.add(failed_jobs=1)
        time.sleep(max(0, began + random.uniform(0.4, 0.6) - time.time()))


def jobs(n):
    for _ in range(int(n)):
        threading.Thread(target=job, daemon=True).start()


def hog(until):
    n = 0
    while time.time() < until():
        n += 1


def hold(milliseconds):
    """Starts a thread that only computes, and keeps all others from running for this long at a time; 0 ends it."""
    global held
    held = float(milliseconds) / 1000
    if held:
        sys.setswitchinterval(held)
        threading.Thread(target=hog, args=(lambda: float("inf") if held else 0,), daemon=True).start()
    else:
        sys.setswitchinterval(0.005)


held = 0.0
serve_threads(listen(address, 128), handle)
obey(truth, jobs=jobs, hold=hold)
