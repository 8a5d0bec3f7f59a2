# SPDX-License-Identifier: Apache-2.0
"""Datagrams that nobody authentic sent: no answer, no change. Inner sources that are somebody else's: not delivered."""

import os
import random
import statistics

import pytest

from lib.capture import Capture, Count, quiet, send, udp
from lib.host import Failed, wait_for
from lib.world import World

HEADER = 16  # type, epoch, lane, flags, index (4), counter (8)


@pytest.fixture(scope="module")
def wire():
    """A gateway and a client that are silent unless told to speak, and a few of the client's packets: some that the gateway
    has seen, some that it has not (held back on the way)."""
    with World() as world:
        world.gate = world.gateway(gateway={"keepalive": 600})
        world.alice = world.client("alice", world.gate)
        world.start(world.gate, world.alice)
        world.target = (world.gate.host.outer4, 443)
        cable, only = world.alice.host.far, f"udp and src host {world.alice.host.outer4}"
        with Capture(world.internet, cable, only, world.directory) as seen:
            world.alice.host.ping(world.gate.inner(), count=20)
        quiet(world.gate)
        with Capture(world.internet, cable, only, world.directory) as held:
            # Not for so long that the client takes the gateway for dead.
            world.internet.nft(f"""table inet hold {{ chain c {{ type filter hook forward priority 0;
                ip saddr {world.alice.host.outer4} udp dport 443 drop; }}; }}""")
            world.alice.host.ping(world.gate.inner(), count=10, check=False, wait=0.2)
            world.internet.nft("delete table inet hold")
        quiet(world.gate)
        # The pings of them: what a node sends for itself has other sizes.
        size = statistics.mode(len(payload) for payload in seen.payloads())
        world.seen, world.held = ([payload for payload in capture.payloads() if len(payload) == size] for capture in (seen, held))
        assert len(world.seen) >= 20 and len(world.held) >= 5, "the capture has too few packets"
        world.source = (world.alice.host.outer4, seen.port())
        yield world


def state(node):
    """All that a datagram could change, and the drops beside it."""
    status = node.status()
    session, = status["sessions"]
    drops = sum(status["drops"].values()) + sum(session["drops"].values())
    kept = "id", "endpoint", "path", "epoch", "rx", "tx", "addresses", "routes", "renewals"
    return {key: session[key] for key in kept}, drops


def expect_ignored(wire, payloads, source=None):
    """Every one of these datagrams is dropped and counted; not a byte comes back; nothing changes."""
    before, drops = state(wire.gate)
    packets = [udp(source or wire.source, wire.target, payload) for payload in payloads]
    only = f"src host {wire.gate.host.outer4} and (udp or icmp)"
    with Capture(wire.internet, wire.gate.host.far, only, wire.directory) as answers:
        taken = send(wire.internet, packets, wire.directory)
        assert taken == len(payloads)
        try:
            wait_for("all of them to be counted", lambda: state(wire.gate)[1] - drops >= len(payloads), 3)
        except Failed:
            counted = state(wire.gate)[1] - drops
            raise Failed(f"{len(payloads)} datagrams sent, {counted} counted as dropped: {wire.gate.status()}") from None
    after, _ = state(wire.gate)
    assert after == before, f"state changed from {before} to {after}"
    assert not answers.packets, f"answered: {[packet.summary() for packet in answers.packets]}"
    wire.alice.host.ping(wire.gate.inner(), count=5)
    quiet(wire.gate)


def test_replayed(wire):
    expect_ignored(wire, wire.seen * 3)


def test_replayed_from_elsewhere(wire):
    """The endpoint does not move to whoever repeats a packet."""
    expect_ignored(wire, wire.seen * 3, ("10.77.2.77", 4444))


def test_every_bit_flipped(wire):
    """All single-bit flips of a packet that the gateway has not seen. And then the packet itself is still good."""
    packet = wire.held[0]
    flips = []
    for bit in range(len(packet) * 8):
        flipped = bytearray(packet)
        flipped[bit // 8] ^= 1 << bit % 8
        flips.append(bytes(flipped))
    expect_ignored(wire, flips)


def test_every_truncation(wire):
    packet = wire.held[1]
    expect_ignored(wire, [packet[:size] for size in range(len(packet))])


def test_appended(wire):
    expect_ignored(wire, [packet + os.urandom(size) for packet in wire.held for size in (1, 2, 16, 1000)])


def test_unknown_index(wire):
    rng = random.Random(1)
    expect_ignored(wire, [packet[:4] + rng.randbytes(4) + packet[8:] for packet in wire.seen * 5])


def test_junk(wire):
    rng = random.Random(2)
    sizes = [0, 1, 15, 16, 31, 32, 33, 100, 1400]
    expect_ignored(wire, [rng.randbytes(size) for size in sizes * 10], ("10.77.2.78", 5555))
    expect_ignored(wire, [b"\x01" + rng.randbytes(size) for size in sizes * 10], ("10.77.2.78", 5555))


def test_counters_from_the_future(wire):
    """A forged counter does not move the window: what the client sends afterwards is taken."""
    packet = wire.seen[0]
    expect_ignored(wire, [packet[:8] + (2**exponent).to_bytes(8, "big") + packet[16:] for exponent in range(20, 64)])


def test_other_epochs_and_lanes(wire):
    packet = wire.held[2]
    current = packet[1]
    expect_ignored(wire, [packet[:1] + bytes([epoch]) + packet[2:] for epoch in range(256) if epoch != current])
    expect_ignored(wire, [packet[:2] + bytes([lane]) + packet[3:] for lane in range(256) if lane != packet[2]])


def test_held_back_packet_is_still_good(wire):
    """The packets that were held back are authentic: late, but inside the window, they are delivered once."""
    before = wire.gate.session()["rx"]["packets"]
    send(wire.internet, [udp(wire.source, wire.target, payload) for payload in wire.held], wire.directory)
    wait_for("the late packets", lambda: wire.gate.session()["rx"]["packets"] - before >= len(wire.held))
    quiet(wire.gate)
    expect_ignored(wire, wire.held)


def test_client_ignores_them_too(wire):
    """The same at the client's end, with the gateway's packets."""
    only = f"udp and src host {wire.gate.host.outer4}"
    with Capture(wire.internet, wire.gate.host.far, only, wire.directory) as capture:
        wire.alice.host.ping(wire.gate.inner(), count=10)
    quiet(wire.alice)
    packets = [payload for payload in capture.payloads() if len(payload) > 60]
    before, drops = state(wire.alice)
    rng = random.Random(3)
    bad = packets * 3 + [packet[:4] + rng.randbytes(4) + packet[8:] for packet in packets] \
        + [packet[:size] for packet in packets[:1] for size in range(len(packet))]
    only = f"src host {wire.alice.host.outer4} and (udp or icmp)"
    with Capture(wire.internet, wire.alice.host.far, only, wire.directory) as answers:
        send(wire.internet, [udp(wire.target, wire.source, payload) for payload in bad], wire.directory)
        wait_for("all of them to be counted", lambda: state(wire.alice)[1] - drops >= len(bad), 3)
    assert state(wire.alice)[0] == before
    assert not answers.packets


class TestSpoofedSources:
    @pytest.fixture(scope="class")
    def company(self):
        with World() as world:
            world.gate = world.gateway(gateway={"sites": world.sites(("berlin", 30))})
            world.alice, world.bob = world.client("alice", world.gate), world.client("bob", world.gate)
            world.berlin = world.site("berlin", world.gate, 30)
            world.start(world.gate, world.alice, world.bob, world.berlin)
            yield world

    @pytest.mark.parametrize("family", [4, 6])
    def test_from_client_and_site(self, company, family):
        alice, bob, gate, berlin = company.alice, company.bob, company.gate, company.berlin
        lan = getattr(berlin.lan, f"inner{family}")
        stranger = "10.99.0.1" if family == 4 else "fd99::1"
        outside = "198.51.100.7" if family == 4 else "2001:db8::7"
        attempts = [  # who sends, whose address he uses, to whom
            (alice.host, source, target, address)
            for source in (bob.inner(family), gate.inner(family), lan, stranger, outside)
            for target, address in ((bob.host, bob.inner(family)), (gate.host, gate.inner(family)), (berlin.lan, lan))
        ] + [(berlin.lan, source, target, address)
             for source in (alice.inner(family), gate.inner(family), stranger, outside)
             for target, address in ((bob.host, bob.inner(family)), (gate.host, gate.inner(family)))]
        for target, address in ((bob.host, bob.inner(family)), (gate.host, gate.inner(family)), (berlin.lan, lan)):
            mine = [udp((alice.inner(family), 7), (address, 7777), b"mine")] * 20
            with Count(target, address) as count:
                send(alice.host, mine, company.directory)
                for sender, source, other, to in attempts:
                    if other is target:
                        send(sender, [udp((source, 7), (to, 7777), b"not mine")] * 20, company.directory)
            assert count.came == 20, f"{count.came} arrived at {target}: 20 from their owner, and spoofed ones"
        dropped = [session["drops"].get("source", 0)
                   for session in (gate.session(alice.identity), gate.session(berlin.identity), alice.session())]
        assert sum(dropped) > 0, f"nothing was counted as spoofed: {dropped}"
