"""A threaded HTTP application with a pool of connections to PostgreSQL.

app.py ADDRESS POSTGRES POOL UP
"""

import sys
import threading
import time

import psycopg_pool

from common import Level, Truth, connect, get, listen, obey, pool_counts, read_head, reply, serve_threads

address, postgres, size, up = sys.argv[1:]
truth = Truth()
waiting = Level(truth, "waiting_s")
inside = Level(truth, "inside_s")
mode = "plain"
leaked = []
checkouts = 0
here = threading.local()
host, port = postgres.split(":")
pool = psycopg_pool.ConnectionPool(
    f"host={host} port={port} user=postgres dbname=postgres sslmode=disable gssencmode=disable",
    min_size=int(size),
    max_size=int(size),
    # PgBouncer uses another connection for each transaction, which does not know statements prepared on one.
    kwargs={"autocommit": True, "prepare_threshold": None},
    open=True,
)
pool.wait()
pool_counts(truth, pool)


class Checkout:
    """A connection of the pool, with how long the caller had to wait for it, and how long it was out."""

    def __enter__(self):
        began = time.time()
        with waiting:
            self.connection = pool.getconn(timeout=60)
        self.since = time.time()
        truth.add(wait_s=self.since - began)
        return self.connection

    def __exit__(self, *_):
        global checkouts
        checkouts += 1
        truth.add(service_s=time.time() - self.since)
        if mode == "leak" and checkouts % 20 == 0:
            leaked.append(self.connection)
            truth.add(leaked=1)
        else:
            pool.putconn(self.connection)


def call_up():
    if not hasattr(here, "up"):
        here.up = connect(up)
    get(here.up)


def work():
    if mode == "held":
        with Checkout() as connection, connection.transaction():
            connection.execute("SELECT work()")
            call_up()
        return
    with Checkout() as connection:
        connection.execute("SELECT work()")
    if mode == "outside":
        call_up()


def handle(client):
    while read_head(client):
        began = time.time()
        with inside:
            work()
        truth.add(requests=1, request_s=time.time() - began)
        client.sendall(reply(b"ok\n"))


def set_mode(name):
    global mode
    mode = name
    while leaked and name != "leak":
        pool.putconn(leaked.pop())


serve_threads(listen(address, 128), handle)
obey(truth, mode=set_mode)
