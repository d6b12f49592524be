"""A name server for one machine: every name is 127.0.0.1, but those that begin with "gone"; those that begin with "two"
are 127.0.0.2 as well.

SIGUSR1: from then on all are gone; SIGUSR2: they are back.
"""

import signal
import socket

away = False


def go(number, _):
    global away
    away = number == signal.SIGUSR1


signal.signal(signal.SIGUSR1, go)
signal.signal(signal.SIGUSR2, go)

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
server.bind(("127.0.0.1", 53))
print("ready", flush=True)
while True:
    query, client = server.recvfrom(512)
    end = query.index(b"\0", 12) + 5
    wants_a = query[end - 4 : end - 2] == b"\0\1"
    gone = away or query[13:17] == b"gone"
    both = query[13:16] == b"two"
    answers = bytes([1, 2] if both else [1]) if wants_a and not gone else b""
    head = query[:2] + bytes([0x81, 0x83 if gone else 0x80, 0, 1, 0, len(answers), 0, 0, 0, 0])
    record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + bytes([127, 0, 0])
    records = b"".join(record + bytes([last]) for last in answers)
    server.sendto(head + query[12:end] + records, client)
