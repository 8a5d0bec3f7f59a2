# SPDX-License-Identifier: Apache-2.0
"""When did the last packet get through? One end sends a datagram every millisecond, the other notes when one came (CLOCK_MONOTONIC,
which all processes of a machine share). As a program: stamp.py send|receive ADDRESS PORT."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PORT = 7801


class Stamp:
    """Datagrams from one host to an address of another while the block runs; last is then when the last one came, in seconds of
    time.monotonic(), and longest_gap the longest time in seconds without one until then."""

    port = PORT

    def __init__(self, sender, receiver, address):
        Stamp.port += 1
        self.sender, self.receiver, self.address, self.last = sender, receiver, address, None
        self.number = Stamp.port

    def start(self, host, role):
        return host.start(sys.executable, Path(__file__), role, self.address, self.number, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        self.far = self.start(self.receiver, "receive")
        self.far.stdout.readline()
        self.near = self.start(self.sender, "send")
        self.far.stdout.readline()  # the first has come
        return self

    def __exit__(self, *exception):
        self.near.terminate()
        self.near.communicate()
        time.sleep(0.2)
        self.far.terminate()
        said = json.loads(self.far.communicate()[0].splitlines()[-1])
        self.last, self.count, self.longest_gap = said["last"], said["count"], said["gap"]


def stop(number, frame):
    raise KeyboardInterrupt


def send(address, port):
    end = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    while True:
        try:
            end.sendto(b"x" * 64, (address, port))
        except OSError:
            pass  # there may be no route any more
        time.sleep(0.001)


def receive(address, port):
    end = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    end.bind((address, port))
    last, count, gap = 0.0, 0, 0.0
    print("ready", flush=True)
    try:
        while True:
            end.recv(100)
            now = time.monotonic()
            if count:
                gap = max(gap, now - last)
            else:
                print("first", flush=True)
            last, count = now, count + 1
    except KeyboardInterrupt:
        print(json.dumps({"last": last, "count": count, "gap": gap}), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    try:
        {"send": send, "receive": receive}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    except KeyboardInterrupt:
        pass
