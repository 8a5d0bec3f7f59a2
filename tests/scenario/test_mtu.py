# SPDX-License-Identifier: Apache-2.0
"""Paths that carry less than was agreed, and tell nobody."""

import re
import time

import pytest

from lib.capture import Capture
from lib.host import SLOW, wait_for
from lib.traffic import Download


def black_hole(world, size):
    """The router swallows IPv4 packets of more than `size` bytes; of what it forwards in one piece it looks at the parts."""
    world.internet.nft("table ip hole { chain large { type filter hook forward priority 0; "
                       f"meta l4proto udp ip length > {size} drop; }}; }}")


def start(world):
    # In one piece, a run would be dropped as a whole, however small its datagrams are.
    settings = {"offload": {"segment": False}}
    world.gate = gate = world.gateway(**settings)
    world.alice = alice = world.client("alice", gate, **settings)
    world.start(gate, alice)
    alice.host.ping(gate.inner())
    return gate, alice


@pytest.mark.parametrize("size", [1300, 600])
@pytest.mark.parametrize("way", ["up", "down"])
def test_black_hole(world, size, way):
    """In the middle of a transfer the path shrinks, without a word: the transfer goes on within 5 s, at what fits."""
    gate, alice = start(world)
    server, client = (alice, gate) if way == "up" else (gate, alice)
    with Download(server.host, server.inner(), client.host) as download:
        time.sleep(1)
        black_hole(world, size)
        inner = size - 60  # IPv4, UDP, header, tag
        wait_for("the sender to find out", lambda: server.session()["mtu"] <= inner, 5)
        before = client.session()["rx"]["bytes"]
        wait_for("bytes to go again", lambda: client.session()["rx"]["bytes"] > before, 5)
        wait_for("what the path carries to be found", lambda: inner - 8 < server.session()["mtu"] <= inner
                 and "found by probing" in server.session()["mtu_reason"], 15)
        time.sleep(1)
        got = download.finish()
    # The kernel's retransmission timer doubles: it may have waited as long again as the hole was unknown.
    assert got["longest_stall_s"] < 5 * SLOW, got


def test_from_the_start(world):
    """A path that never carried what was agreed."""
    world.gate = gate = world.gateway(offload={"segment": False})
    world.alice = alice = world.client("alice", gate, offload={"segment": False})
    black_hole(world, 1400)
    world.start(gate, alice)
    for node in (gate, alice):
        wait_for(f"{node} to find what the path carries", lambda: 1332 < node.session()["mtu"] <= 1340, 20)
    with Download(gate.host, gate.inner(), alice.host) as download:
        time.sleep(1)
        assert download.finish()["bytes"] > 1e6 / SLOW


def test_link_with_a_tag(world):
    """A link 4 bytes narrower than all others, as one with a VLAN tag of its own is, under IPv6, where the rest is used up. The
    host's own interface refuses what does not fit."""
    world.gate = gate = world.gateway()
    host = world.attach(world.add_host("alice"), mtu=1496)
    world.alice = alice = world.client("alice", gate, host=host, family=6)
    world.start(gate, alice)
    for node in (gate, alice):
        wait_for(f"{node} to find what the link carries", lambda: 1408 < node.session()["mtu"] <= 1416, 20)
    for server, client in ((gate, alice), (alice, gate)):
        with Download(server.host, server.inner(), client.host, megabytes_per_second=50) as download:
            wait_for("bytes through the link", lambda: client.session()["rx"]["bytes"] > 2e6 / SLOW)
            download.finish()


def test_senders_are_told(world):
    """What may not be cut is answered with "fragmentation needed" and "packet too big", and believed by the sender; what may
    be is cut and arrives."""
    gate, alice = start(world)
    black_hole(world, 1360)
    for family, header in ((4, 28), (6, 48)):
        address = gate.inner(family)
        wait_for("the client to find out",
                 lambda: alice.host.ping(address, count=1, size=1400 - header, check=False, wait=0.3) >= 0
                 and alice.session()["mtu"] <= 1300, 15)
        mtu = alice.session()["mtu"]
        alice.host.run("ping", "-n", "-c", 2, "-i", 0.2, "-W", 1, "-M", "do", "-s", 1400 - header, address, check=False)
        route = alice.host.ip("route", "get", address).stdout
        assert re.search(rf"mtu {alice.session()['mtu']}\b|mtu {mtu}\b", route), f"told {mtu}, but: {route}"
        # The gateway, too, has to find out first.
        wait_for("large pings to be cut, and answered in pieces",
                 lambda: alice.host.ping(address, count=3, size=3000, check=False) == 3, 10)


def test_segments_of_others(world):
    """TCP of hosts behind the tunnel, which know nothing of it: what a handshake promises is lowered."""
    gate = world.gateway(gateway={"routes": ["10.20.0.0/24"]})
    office = world.add_lan(gate.host, 20)
    alice = world.client("alice", gate)
    world.start(gate, alice)
    with Capture(office, "lan", "tcp[tcpflags] & tcp-syn != 0", world.directory) as capture, \
            Download(office, office.inner4, alice.host):
        wait_for("bytes from the office", lambda: alice.session()["rx"]["bytes"] > 1e5)
    text = office.run("tcpdump", "-n", "-v", "-r", capture.path).stdout
    sizes = [int(found) for found in re.findall(r"mss (\d+)", text)]
    # From the client, which knows its interface; and from the office, whose promise is lowered on its way out only.
    assert len(sizes) >= 2 and sizes[0] == 1380, text
