"""An asyncio HTTP application with a pool of connections to PostgreSQL: one thread for everything.

aioapp.py ADDRESS POSTGRES POOL
"""

import asyncio
import sys
import threading
import time

import psycopg_pool

from common import Level, Truth, obey, pool_counts, reply

address, postgres, size = sys.argv[1:]
truth = Truth()
waiting = Level(truth, "waiting_s")
inside = Level(truth, "inside_s")
host, port = postgres.split(":")
ready = threading.Event()


async def work(pool):
    began = time.time()
    with waiting:
        connection = await pool.getconn(timeout=60)
    since = time.time()
    truth.add(wait_s=since - began)
    await connection.execute("SELECT work()")
    truth.add(service_s=time.time() - since)
    await pool.putconn(connection)


async def main():
    pool = psycopg_pool.AsyncConnectionPool(
        f"host={host} port={port} user=postgres dbname=postgres sslmode=disable gssencmode=disable",
        min_size=int(size),
        max_size=int(size),
        kwargs={"autocommit": True},
        open=False,
    )
    await pool.open(wait=True)
    pool_counts(truth, pool)

    async def handle(reader, writer):
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                began = time.time()
                with inside:
                    await work(pool)
                truth.add(requests=1, request_s=time.time() - began)
                writer.write(reply(b"ok\n"))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    at, on = address.split(":")
    server = await asyncio.start_server(handle, at, int(on))
    ready.set()
    await server.serve_forever()


threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
ready.wait()
obey(truth)
