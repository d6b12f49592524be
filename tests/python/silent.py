"""Listens at 127.0.0.1 and never accepts: its queue is full, and the system drops what else comes.

    silent.py PORT
"""

import signal
import socket
import sys

place = ("127.0.0.1", int(sys.argv[1]))
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(place)
server.listen(0)
held = []
while True:
    client = socket.socket()
    client.settimeout(1)
    held.append(client)
    try:
        client.connect(place)
    except TimeoutError:
        break
print("full", flush=True)
signal.pause()
