# SPDX-License-Identifier: Apache-2.0
"""Ends and new beginnings: killed daemons, clean exits, dead gateways. Hosts are left as they were found."""

import time

import pytest

from lib.host import SLOW, Failed, difference, wait_for
from lib.traffic import Probes


def expect_unchanged(host, before):
    changes = difference(before, host.snapshot())
    if changes:
        raise Failed(f"{host} is not as it was:\n{changes}")


def test_clean_exit_leaves_nothing(world):
    gate = world.gateway(gateway={"sites": world.sites(("berlin", 30)), "routes": ["10.20.0.0/24"]})
    alice, berlin = world.client("alice", gate), world.site("berlin", gate, 30)
    nodes = gate, alice, berlin
    before = [node.host.snapshot() for node in nodes]
    world.start(*nodes)
    alice.host.ping(berlin.lan.inner4)
    for node, old in zip(nodes, before):
        changed = difference(old, node.host.snapshot())
        assert "mutun0" in changed and "rules: new" in changed, "the comparison sees nothing of a running tunnel"
    for node in reversed(nodes):
        node.stop()
        assert not node.failures, node.failures
        assert not node.socket.exists(), f"{node.socket} is still there"
    for node, old in zip(nodes, before):
        expect_unchanged(node.host, old)


def test_clean_exit_in_mid_dial(world):
    """The client is stopped while its session lives and a new channel is under way to a gateway that does not answer."""
    gate = world.gateway()
    alice = world.client("alice", gate)
    before = alice.host.snapshot()
    world.start(gate, alice)
    world.internet.nft("table ip cut { chain tcp_drop { type filter hook forward priority 0; meta l4proto tcp drop; }; }")
    alice.mutun("reauth")
    wait_for("a dial under way", lambda: alice.host.run("ss", "-tnH", "state", "syn-sent").stdout)
    assert alice.sessions()
    alice.stop()
    expect_unchanged(alice.host, before)


@pytest.mark.parametrize("who", ["client", "gateway"])
def test_killed_daemon_is_cleaned_up_after(world, who):
    """kill -9 leaves rules behind; the next start removes them, takes over, and its own end leaves nothing."""
    gate = world.gateway(gateway={"routes": ["10.20.0.0/24"]})
    alice = world.client("alice", gate)
    victim = alice if who == "client" else gate
    before = victim.host.snapshot()
    world.start(gate, alice)
    address = alice.inner()
    running = victim.host.snapshot()
    for _ in range(3):
        victim.kill()
        victim.start()
        alice.wait_up(15)
        assert alice.inner() == address, "the lease is not sticky"
        wait_for(f"{victim.host} to look as in the first run",
                 lambda: not lasting(difference(running, victim.host.snapshot())))
        alice.host.wait_ping(gate.inner())
    victim.stop()
    expect_unchanged(victim.host, before)


def lasting(changes):
    """Without what rightly differs from run to run: the interface's number, and sockets with ports of the day."""
    volatile = "sockets", "links", "addresses", "IPv4 multicast"
    return "\n".join(line for line in changes.splitlines() if not line.startswith(volatile))


def test_gateway_killed_and_restarted(world):
    """Traffic flows again within 2 s of the gateway's listening; the client keeps its addresses."""
    gate = world.gateway(gateway={"routes": ["10.20.0.0/24"]})
    office = world.add_lan(gate.host, 20)
    alice = world.client("alice", gate)
    world.start(gate, alice)
    address = alice.inner()
    with Probes((alice.host, address), (office, office.inner4)) as probes:
        time.sleep(0.5)
        gate.kill()
        time.sleep(1.5)
        gate.start(wait=False)
        gate.host.wait_listening(443)
        listening = time.monotonic()
        gate.wait_ready()
        alice.wait_up()
        time.sleep(1)
    for name, way in (("there", probes.there), ("back", probes.back)):
        took = way["longest_gap_end_ms"] / 1000 - listening
        assert way["longest_gap_ms"] > 1000, f"the outage was not seen; {probes.words()}"
        assert took < 2 * SLOW, f"{name}: traffic again {took:.1f} s after the gateway listened; {probes.words()}"
        assert way["last_ms"] / 1000 > listening, probes.words()
    assert alice.inner() == address


def test_gateway_stopped_and_started(world):
    """An orderly stop says goodbye: clients know at once, and come back when it does."""
    gate = world.gateway()
    alice = world.client("alice", gate)
    world.start(gate, alice)
    gate.stop()
    wait_for("the client to know", lambda: alice.link()["state"] != "up", 2)
    assert alice.link()["last_error"], "the client does not say why"
    gate.start()
    alice.wait_up(15)
    alice.host.ping(gate.inner())


def test_dead_gateway_and_second_endpoint(world):
    """All packets to and from the gateway vanish. While there is traffic the client notices within 3 s, and goes to the
    other endpoint of its link."""
    first, second = world.gateway("first", gateway={"keepalive": 3}), world.gateway("second")
    alice = world.client("alice", [first, second])
    world.start(first, second, alice)
    wait_for("a measured round trip", lambda: alice.session()["rtt_ms"] is not None)
    assert alice.session()["identity"] == first.identity
    traffic = alice.host.start("ping", "-n", "-q", "-i", "0.1", first.inner())
    time.sleep(0.5)
    world.internet.nft(f"""table inet outage {{ chain c {{ type filter hook forward priority 0;
        ip saddr {first.host.outer4} drop; ip daddr {first.host.outer4} drop; }}; }}""")
    cut = time.monotonic()
    # It may be up at the other endpoint before anybody has looked twice.
    elsewhere = f"{second.host.outer4}:443"
    wait_for("the client to notice", lambda: alice.link()["state"] in ("dial", "prove", "wait")
             or alice.link()["endpoint"] == elsewhere, 6, interval=0.01)
    noticed = time.monotonic() - cut
    alice.wait_up(15)
    taken_over = time.monotonic() - cut
    assert noticed < 3 * SLOW, f"noticed after {noticed:.1f} s"
    assert alice.session()["identity"] == second.identity
    assert alice.link()["endpoint"] == elsewhere
    assert taken_over < 10 * SLOW, f"on the other gateway after {taken_over:.1f} s"
    alice.host.ping(second.inner())
    traffic.kill()
    wait_for("the gateway to give the client up", lambda: not first.sessions(), 30)


def test_dead_client_is_forgotten(world):
    """The gateway notices a client that vanished, by keepalives; its addresses go nowhere then."""
    gate = world.gateway(gateway={"keepalive": 1})
    alice = world.client("alice", gate)
    world.start(gate, alice)
    alice.kill()
    wait_for("the end of the session", lambda: not gate.sessions(), 20)


def test_second_daemon_is_refused(world):
    """A second mutund for the same interface on one host says so, and disturbs nothing."""
    gate = world.gateway()
    alice = world.client("alice", gate)
    world.start(gate, alice)
    twin = world.add_node(alice.host, "laptop/twin", links=alice.settings["links"])
    twin.start(wait=False)
    twin.wait_exit("any")
    assert "mutun0" in twin.log(), twin.log()
    alice.host.ping(gate.inner())


def test_silent_outage_and_return(world):
    """Ten seconds without any packet, then the network is back: so is the tunnel, within seconds."""
    gate = world.gateway()
    alice = world.client("alice", gate)
    world.start(gate, alice)
    traffic = alice.host.start("ping", "-n", "-q", "-i", "0.1", gate.inner())
    alice.host.ip("link", "set", "wan", "down")
    time.sleep(6 * SLOW)
    alice.host.ip("link", "set", "wan", "up")
    alice.host.ip("route", "replace", "default", "via", f"10.77.{alice.host.number}.254")
    back = time.monotonic()
    alice.wait_up(15)
    alice.host.wait_ping(gate.inner(), 5)
    took = time.monotonic() - back
    assert took < 5 * SLOW, f"traffic again after {took:.1f} s"
    traffic.kill()
