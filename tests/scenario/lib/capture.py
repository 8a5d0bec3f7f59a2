# SPDX-License-Identifier: Apache-2.0
"""Packets taken from a wire, and put back on one."""

import itertools
import logging
import struct
import subprocess
import sys
import time
from pathlib import Path

from lib.host import SLOW, wait_for

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.inet import IP, UDP  # noqa: E402  (scapy warns at its import)
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.packet import Raw  # noqa: E402
from scapy.utils import rdpcap  # noqa: E402

RAW = Path(__file__).parent / "raw.py"
numbers = itertools.count(1)


class Capture:
    """tcpdump on one interface while the block runs; afterwards packets holds what it saw (scapy packets)."""

    def __init__(self, host, interface, expression, directory):
        self.host, self.interface, self.expression = host, interface, expression
        self.path = directory / f"capture-{next(numbers)}.pcap"
        self.packets = None

    def __enter__(self):
        self.process = self.host.start("tcpdump", "-U", "--immediate-mode", "-n", "-i", self.interface, "-w", self.path,
                                       *self.expression.split(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                       text=True)
        line = self.process.stderr.readline()
        while line and "listening on" not in line:
            line = self.process.stderr.readline()
        return self

    def __exit__(self, *exception):
        # Until it has written all: on a busy machine it may not have been running for a while.
        for _ in range(10):
            size = self.path.stat().st_size
            time.sleep(0.2 * SLOW)
            if self.path.stat().st_size == size:
                break
        self.process.terminate()
        self.process.communicate()
        self.packets = rdpcap(str(self.path))

    def payloads(self):
        """What UDP packets carried."""
        return [bytes(packet[UDP].payload)[:packet[UDP].len - 8] for packet in self.packets if UDP in packet]

    def port(self):
        """The source port of the last UDP packet."""
        return [packet[UDP].sport for packet in self.packets if UDP in packet][-1]


def udp(source, target, payload):
    """A UDP packet between two (address, port) ends."""
    layer = IPv6 if ":" in source[0] else IP
    return bytes(layer(src=source[0], dst=target[0]) / UDP(sport=source[1], dport=target[1]) / Raw(payload))


def send(host, packets, directory):
    """Sends whole IP packets from a host, whatever their source says. Returns how many its kernel took."""
    path = directory / f"packets-{next(numbers)}"
    path.write_bytes(b"".join(struct.pack("!I", len(packet)) + packet for packet in packets))
    return int(host.run(sys.executable, RAW, "send", path).stdout)


def inject(host, interface, packets, directory):
    """Puts packets into an interface of a host, also such as no kernel would send."""
    path = directory / f"packets-{next(numbers)}"
    path.write_bytes(b"".join(struct.pack("!I", len(packet)) + packet for packet in packets))
    assert int(host.run(sys.executable, RAW, "inject", interface, path).stdout) == len(packets)


class Count:
    """Counts UDP datagrams that arrive at an address while the block runs."""

    def __init__(self, host, address, port=7777):
        self.host, self.address, self.port, self.came = host, address, port, None

    def __enter__(self):
        self.process = self.host.start(sys.executable, RAW, "count", self.address, self.port, stdout=subprocess.PIPE,
                                       text=True)
        self.process.stdout.readline()
        return self

    def __exit__(self, *exception):
        time.sleep(0.3 * SLOW)
        self.process.terminate()
        self.came = int(self.process.communicate()[0].splitlines()[-1])


def quiet(node, seconds=10):
    """Waits until a node's sessions have neither sent nor received for so long that the client has also asked whether more is
    to come (1 s after the last packet, PROTOCOL.md 5.2)."""
    def counts():
        return [(session["rx"], session["tx"], session["drops"]) for session in node.sessions()]

    def still():
        before = counts()
        time.sleep(2)
        return before == counts()
    wait_for(f"quiet at {node}", still, seconds)
