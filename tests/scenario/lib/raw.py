# SPDX-License-Identifier: Apache-2.0
"""raw.py send FILE: sends whole IP packets (32-bit length before each) as they are, from this host.
raw.py inject INTERFACE FILE: the same into an interface, whatever the kernel thinks of them.
raw.py count ADDRESS PORT: counts UDP datagrams until SIGTERM and prints how many came."""

import signal
import socket
import struct
import sys
import time

IPV6_HDRINCL = 36
MARTIAN = (1, 22, 101, 113)  # what a kernel says to an impossible packet: EPERM, EINVAL, ENETUNREACH, EHOSTUNREACH


def packets(path):
    data = open(path, "rb").read()
    while data:
        size, = struct.unpack("!I", data[:4])
        yield data[4:4 + size]
        data = data[4 + size:]


def inject(interface, path):
    sender, sent = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM), 0
    for sent, packet in enumerate(packets(path), 1):
        sender.sendto(packet, (interface, 0x86dd if packet[:1] >= b"\x60" else 0x0800))
    return sent


def send(path):
    senders = {4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
               6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)}
    senders[6].setsockopt(socket.IPPROTO_IPV6, IPV6_HDRINCL, 1)
    sent = 0
    for packet in packets(path):
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


commands = {"send": send, "inject": inject, "count": lambda address, port: count(address, int(port))}
print(commands[sys.argv[1]](*sys.argv[2:]))
