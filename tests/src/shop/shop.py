"""A web shop: each request reads from PostgreSQL, counts in Redis, and asks a payment provider outside.

python3 shop.py ADDRESS PORT POSTGRES REDIS PROVIDER PROVIDER_PORT
"""

import http.client
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2

address, port, postgres, redis, provider, provider_port = sys.argv[1:]


class Stores:
    """One connection to each, opened when it is first needed."""

    def __init__(self):
        self.lock = threading.Lock()
        self.database = None
        self.counter = None

    def visit(self):
        with self.lock:
            if self.database is None:
                self.database = psycopg2.connect(
                    host=postgres, user="postgres", dbname="postgres", sslmode="disable", gssencmode="disable"
                )
                self.database.autocommit = True
                self.counter = socket.create_connection((redis, 6379))
            with self.database.cursor() as cursor:
                cursor.execute("SELECT 6 * 7")
                (price,) = cursor.fetchone()
            self.counter.sendall(b"*2\r\n$4\r\nINCR\r\n$6\r\nvisits\r\n")
            visits = self.counter.recv(100)
            assert visits.startswith(b":"), visits
            return price


def pay(price):
    connection = http.client.HTTPConnection(provider, int(provider_port), timeout=20)
    connection.request("GET", "/pay")
    answer = connection.getresponse().read()
    connection.close()
    return f"{price} {answer.decode()}\n".encode()


class Shop(BaseHTTPRequestHandler):
    stores = Stores()

    def do_GET(self):
        answer = pay(self.stores.visit())
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


ThreadingHTTPServer((address, int(port)), Shop).serve_forever()
