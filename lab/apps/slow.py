"""Slow readers: so many bytes, a pause, again.

slow.py SERVER READERS
"""

import sys
import threading
import time

from common import Truth, connect, obey

server, readers = sys.argv[1:]
truth = Truth()
pause = 0.0


def read():
    while True:
        try:
            connection = connect(server)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")
            left = None
            while left is None or left > 0:
                part = connection.recv(4096 if pause else 1 << 20)
                if not part:
                    break
                if left is None:
                    head, _, part = part.partition(b"\r\n\r\n")
                    left = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                left -= len(part)
                truth.add(read_bytes=len(part))
                time.sleep(pause)
            connection.close()
            truth.add(replies=1)
        except OSError:
            truth.add(failed=1)
        time.sleep(1)


def set_pause(milliseconds):
    global pause
    pause = float(milliseconds) / 1000


for _ in range(int(readers)):
    threading.Thread(target=read, daemon=True).start()
obey(truth, pause=set_pause)
