"""Clients of a server: some that send, think and send again on one connection; and arrivals that send one request and leave.

load.py SERVER SEED
"""

import random
import sys
import threading
import time

from common import Truth, connect, get, obey

server, seed = sys.argv[1:]
random.seed(int(seed))
truth = Truth()
wanted = 0
running = 0
settings = {"think": 0.0, "rate": 0.0, "timeout": 0.0, "probes": 0.0, "fixed": 0.0}
# At most this many arrivals at once: a machine that is behind must not be overloaded.
in_flight = threading.Semaphore(400)


def timeout():
    return settings["timeout"] / 1000 or None


def think():
    mean = settings["think"] / 1000
    return mean if settings["fixed"] else random.expovariate(1 / mean) if mean else 0


def ask(connection):
    began = time.time()
    get(connection)
    truth.add(asked=1, asked_s=time.time() - began)


def closed(number):
    """One client, until fewer are wanted."""
    global running
    time.sleep(random.random() * 0.1)
    connection = None
    while number < wanted:
        try:
            connection = connection or connect(server, timeout())
            ask(connection)
        except OSError as error:
            truth.add(**{f"failed_{type(error).__name__}": 1})
            if connection:
                connection.close()
                connection = None
            time.sleep(0.1)
        time.sleep(think())
    if connection:
        connection.close()


def clients(n):
    global wanted, running
    wanted = int(n)
    while running < wanted:
        threading.Thread(target=closed, args=(running,), daemon=True).start()
        running += 1
    running = wanted


def arrival():
    try:
        connection = connect(server, timeout())
        try:
            ask(connection)
        finally:
            connection.close()
    except OSError as error:
        truth.add(**{f"failed_{type(error).__name__}": 1})
    finally:
        in_flight.release()


def arrivals():
    due = time.time()
    while True:
        rate = settings["rate"]
        if not rate:
            time.sleep(0.05)
            due = time.time()
            continue
        due += random.expovariate(rate)
        time.sleep(max(0, due - time.time()))
        if in_flight.acquire(blocking=False):
            threading.Thread(target=arrival, daemon=True).start()
        else:
            truth.add(not_asked=1)


def probes():
    """Opens a connection and closes it, as a health check of TCP does."""
    while True:
        if settings["probes"]:
            try:
                connect(server, 1).close()
                truth.add(probed=1)
            except OSError:
                truth.add(failed_probes=1)
        time.sleep(1)


def set_to(name, value):
    settings[name] = float(value)


threading.Thread(target=arrivals, daemon=True).start()
threading.Thread(target=probes, daemon=True).start()
obey(truth, clients=clients, set=set_to)
