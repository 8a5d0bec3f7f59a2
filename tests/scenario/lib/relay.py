# SPDX-License-Identifier: Apache-2.0
"""relay.py ADDRESS PORT TARGET [REORDER DEPTH [LOSS]]: carries TCP and UDP of one client to TARGET's same port and back.

A share REORDER (0-1) of the datagrams is held back until DEPTH others have overtaken it, and a share LOSS vanishes; both are
decided by a seeded generator. Prints "ready", and on SIGTERM what it carried, as JSON."""

import json
import random
import selectors
import signal
import socket
import sys

SIZE = 65536
HELD_MAX_S = 0.05  # a datagram that nothing overtakes goes on after this


class Way:
    """Datagrams in one direction."""

    def __init__(self, send, reorder, depth, loss):
        self.send, self.reorder, self.depth, self.loss = send, reorder, depth, loss
        self.held = []  # [datagrams still to overtake it, datagram]
        self.random = random.Random(7)
        self.carried = self.lost = self.reordered = 0

    def take(self, datagram):
        if self.random.random() < self.loss:
            self.lost += 1
        elif self.random.random() < self.reorder:
            self.held.append([self.random.randint(1, self.depth), datagram])
            self.reordered += 1
        else:
            self.give(datagram)

    def give(self, datagram):
        self.send(datagram)
        self.carried += 1
        for entry in self.held:
            entry[0] -= 1
        due = [entry for entry in self.held if entry[0] <= 0]
        self.held = [entry for entry in self.held if entry[0] > 0]
        for _, late in due:
            self.send(late)
            self.carried += 1

    def release(self):
        held, self.held = self.held, []
        for _, late in held:
            self.send(late)
            self.carried += 1


class Relay:
    def __init__(self, address, port, target, impairment):
        self.target = (target, port)
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server((address, port))
        self.near, self.far = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
        for udp in (self.near, self.far):
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.near.bind((address, port))
        self.far.connect(self.target)
        self.client = None
        self.up = Way(self.far.send, *impairment)
        self.down = Way(lambda datagram: self.near.sendto(datagram, self.client), *impairment)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(self.near, selectors.EVENT_READ, self.from_client)
        self.selector.register(self.far, selectors.EVENT_READ, self.from_target)

    def accept(self):
        near, _ = self.listener.accept()
        far = socket.create_connection(self.target)
        for a, b in ((near, far), (far, near)):
            self.selector.register(a, selectors.EVENT_READ, lambda a=a, b=b: self.carry(a, b))

    def carry(self, a, b):
        try:
            data = a.recv(SIZE)
            if data:
                b.sendall(data)
        except OSError:
            data = b""
        if not data:
            for end in (a, b):
                self.selector.unregister(end)
                end.close()

    def from_client(self):
        datagram, self.client = self.near.recvfrom(SIZE)
        self.up.take(datagram)

    def from_target(self):
        if self.client:
            self.down.take(self.far.recv(SIZE))

    def run(self, stopped):
        while not stopped:
            ready = self.selector.select(HELD_MAX_S)
            if not ready:
                self.up.release()
                self.down.release()
            for key, _ in ready:
                key.data()


def main():
    stopped = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    address, port, target, *impairment = sys.argv[1:]
    reorder, depth, loss = [*impairment, "0", "0", "0"][:3]
    relay = Relay(address, int(port), target, (float(reorder), int(depth), float(loss)))
    print("ready", flush=True)
    relay.run(stopped)
    print(json.dumps({way: {"carried": one.carried, "lost": one.lost, "reordered": one.reordered}
                      for way, one in (("up", relay.up), ("down", relay.down))}))


if __name__ == "__main__":
    main()
