# SPDX-License-Identifier: Apache-2.0
"""raw.py send FILE: sends whole IP packets (32-bit length before each) as they are, from this host.
raw.py count ADDRESS PORT: counts UDP datagrams until SIGTERM and prints how many came."""

import signal
import socket
import struct
import sys
import time

IPV6_HDRINCL = 36
MARTIAN = (1, 22, 101, 113)  # what a kernel says to an impossible packet: EPERM, EINVAL, ENETUNREACH, EHOSTUNREACH


def send(path):
    senders = {4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
               6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)}
    senders[6].setsockopt(socket.IPPROTO_IPV6, IPV6_HDRINCL, 1)
    data, sent = open(path, "rb").read(), 0
    while data:
        size, = struct.unpack("!I", data[:4])
        packet, data = data[4:4 + size], data[4 + size:]
        version = packet[0] >> 4
        to = (socket.inet_ntop(socket.AF_INET, packet[16:20]) if version == 4
              else socket.inet_ntop(socket.AF_INET6, packet[24:40]))
        try:
            senders[version].sendto(packet, (to, 0))
            sent += 1
        except OSError as error:
            if error.errno not in MARTIAN:
                raise
        if sent % 50 == 49:
            time.sleep(0.002)
    return sent


def count(address, port):
    stopped, came = [], 0
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    receiver = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind((address, port))
    receiver.settimeout(0.1)
    print("ready", flush=True)
    while not stopped:
        try:
            receiver.recv(65536)
            came += 1
        except TimeoutError:
            pass
    return came


print(send(sys.argv[2]) if sys.argv[1] == "send" else count(sys.argv[2], int(sys.argv[3])))
