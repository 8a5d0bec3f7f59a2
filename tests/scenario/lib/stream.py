# SPDX-License-Identifier: Apache-2.0
"""stream.py serve ADDRESS PORT MEGABYTES_PER_SECOND: sends random bytes to one client until SIGTERM.
stream.py fetch ADDRESS PORT: takes them. Both print bytes and SHA-256 as JSON.

The kernel paces the sender (SO_MAX_PACING_RATE): a sender at full speed would overflow queues on purpose, as TCP does, and
hide what the tunnel itself loses."""

import hashlib
import json
import os
import signal
import socket
import sys
import time

SO_MAX_PACING_RATE = 47
BLOCK = 65536


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(address, port, megabytes_per_second):
    stopped = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    listener = socket.create_server((address, port), family=family(address))
    print("ready", flush=True)
    connection, _ = listener.accept()
    connection.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, megabytes_per_second * 1000000)
    digest, count = hashlib.sha256(), 0
    while not stopped:
        block = os.urandom(BLOCK)
        connection.sendall(block)
        digest.update(block)
        count += len(block)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)  # until the client has it all
    return digest, count


def fetch(address, port):
    connection = socket.create_connection((address, port), timeout=30)
    digest, count = hashlib.sha256(), 0
    last, longest = time.monotonic(), 0
    while block := connection.recv(BLOCK):
        digest.update(block)
        count += len(block)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    return digest, count, longest


if sys.argv[1] == "serve":
    digest, count, *more = serve(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    digest, count, *more = fetch(sys.argv[2], int(sys.argv[3]))
print(json.dumps({"sha256": digest.hexdigest(), "bytes": count, "longest_stall_s": more[0] if more else None}))
