"""Workers that each keep a connection to PostgreSQL, and retry half a second after a failure.

workers.py POSTGRES SEED
"""

import random
import sys
import threading
import time

import psycopg

from common import Truth, obey

postgres, seed = sys.argv[1:]
random.seed(int(seed))
host, port = postgres.split(":")
truth = Truth()
wanted = 0
running = 0


def work(number):
    connection = None
    while number < wanted:
        try:
            if connection is None:
                connection = psycopg.connect(
                    host=host,
                    port=port,
                    user="app",
                    dbname="postgres",
                    sslmode="disable",
                    gssencmode="disable",
                    autocommit=True,
                )
                truth.add(connected=1)
            connection.execute("SELECT work()")
            truth.add(done=1)
        except psycopg.Error:
            truth.add(turned_away=1)
            connection = None
            time.sleep(random.uniform(0.4, 0.6))
        time.sleep(random.uniform(0.05, 0.15))
    if connection:
        connection.close()


def workers(n):
    global wanted, running
    wanted = int(n)
    while running < wanted:
        threading.Thread(target=work, args=(running,), daemon=True).start()
        running += 1
    running = wanted


obey(truth, workers=workers)
