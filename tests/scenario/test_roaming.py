# SPDX-License-Identifier: Apache-2.0
"""The client's address and port change in mid-download; the session, its addresses and the download go on."""

import time

from lib.host import SLOW, Failed, wait_for
from lib.traffic import Download, Probes


def start(world):
    world.gate = world.gateway()
    world.alice = world.client("alice", world.gate)
    world.start(world.gate, world.alice)
    return world.gate, world.alice


def endpoint(gate):
    return gate.session()["endpoint"]


def expect_short_gap(probes, seconds):
    probes.stop()
    if probes.longest_gap_ms() > seconds * 1000 * SLOW:
        raise Failed(f"the move took longer than {seconds} s; {probes.words()}")


def test_address_changes(world):
    """From one network to another, as from the office's cable to a telephone: the old address is gone at once."""
    gate, alice = start(world)
    first = alice.host.outer4
    session, inner = gate.session()["id"], alice.inner()
    with Download(gate.host, gate.inner(), alice.host) as download, \
            Probes((alice.host, inner), (gate.host, gate.inner())) as probes:
        time.sleep(1)
        for interface in ("wan2", "wan3"):
            old = default_interface(alice.host)
            world.attach(alice.host, interface, default=False)
            alice.host.ip("link", "set", old, "down")
            alice.host.ip("route", "replace", "default", "via", f"10.77.{alice.host.number}.254")
            wait_for(f"the gateway to know {alice.host.outer4}",
                     lambda: endpoint(gate).rsplit(":", 1)[0] == alice.host.outer4)
            time.sleep(1.5)
        probes.stop()
        download.finish()
    assert not endpoint(gate).startswith(first)
    assert gate.session()["id"] == session and alice.inner() == inner
    expect_short_gap(probes, 3)
    alice.wait_up()


def default_interface(host):
    return host.ip("route", "show", "default").stdout.split(" dev ")[1].split()[0]


def test_address_is_replaced(world):
    """The same interface gets another address (a DHCP server's whim) in the middle of a download."""
    gate, alice = start(world)
    number = alice.host.number
    session = gate.session()["id"]
    with Download(gate.host, gate.inner(), alice.host) as download, \
            Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
        time.sleep(1)
        alice.host.ip("address", "add", f"10.77.{number}.99/24", "dev", "wan")
        alice.host.ip("address", "del", f"10.77.{number}.1/24", "dev", "wan")
        # The first address took the others of its subnet and the routes with it.
        alice.host.ip("address", "replace", f"10.77.{number}.99/24", "dev", "wan")
        alice.host.ip("route", "replace", "default", "via", f"10.77.{number}.254")
        wait_for("the gateway to know the new address", lambda: endpoint(gate).startswith(f"10.77.{number}.99:"))
        time.sleep(1.5)
        probes.stop()
        download.finish()
    assert gate.session()["id"] == session
    expect_short_gap(probes, 3)


def masquerade(world, alice, gate):
    """The internet's router translates alice's UDP, to a random port each time."""
    world.internet.nft(f"""table ip nat {{ chain out {{ type nat hook postrouting priority 100;
        ip saddr {alice.host.outer4} oifname "{gate.host.far}" meta l4proto udp masquerade random; }}; }}""")


def forget_translations(world, gate):
    """A masquerading router forgets its translations of an interface when that loses its address."""
    far, address = gate.host.far, f"10.77.{gate.host.number}.254/24"
    world.internet.ip("address", "del", address, "dev", far)
    world.internet.ip("address", "add", address, "dev", far)


def test_port_changes(world):
    """A router between them forgets its translation and chooses another port, thrice in one download."""
    world.gate = gate = world.gateway()
    world.alice = alice = world.client("alice", gate)
    masquerade(world, alice, gate)
    world.start(gate, alice)
    router = f"10.77.{gate.host.number}.254"
    session = gate.session()["id"]
    alice.host.ping(gate.inner())
    ports = {endpoint(gate)}
    with Download(gate.host, gate.inner(), alice.host) as download, \
            Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
        for _ in range(3):
            time.sleep(1)
            before = endpoint(gate)
            assert before.startswith(f"{router}:"), before
            forget_translations(world, gate)
            wait_for("another port at the gateway", lambda: endpoint(gate) not in (None, before))
            ports.add(endpoint(gate))
        probes.stop()
        got = download.finish()
    assert len(ports) >= 3, f"the port did not change: {ports}"
    # What the gateway's other lane sends does not go on to the forgotten port.
    assert got["longest_stall_s"] < 2 * SLOW, got
    assert gate.session()["id"] == session and gate.session()["renewals"] == alice.session()["renewals"]
    expect_short_gap(probes, 1)


def test_port_changes_while_only_the_gateway_has_something_to_say(world):
    """The line is down for as long as it takes a download to fall silent, and the translation is forgotten meanwhile: what
    the gateway sends again goes nowhere, and the client has nothing to acknowledge."""
    world.gate = gate = world.gateway()
    world.alice = alice = world.client("alice", gate)
    masquerade(world, alice, gate)
    world.start(gate, alice)
    alice.host.ping(gate.inner())
    before = endpoint(gate)
    with Download(gate.host, gate.inner(), alice.host) as download:
        time.sleep(1)
        world.internet.nft("table ip cut { chain drop_udp { type filter hook forward priority 0; meta l4proto udp drop; }; }")
        time.sleep(0.7)
        forget_translations(world, gate)
        world.internet.nft("delete table ip cut")
        wait_for("another port at the gateway", lambda: endpoint(gate) not in (None, before), 5)
        download.finish(10)


def test_port_changes_while_idle(world):
    """The translation changes in silence: the gateway's packets come through again after the client's next keepalive."""
    world.gate = gate = world.gateway(gateway={"keepalive": 1})
    world.alice = alice = world.client("alice", gate)
    masquerade(world, alice, gate)
    world.start(gate, alice)
    alice.host.ping(gate.inner())
    inner = alice.inner()
    before = endpoint(gate)
    forget_translations(world, gate)
    wait_for("another port at the gateway", lambda: endpoint(gate) not in (None, before), 5)
    gate.host.ping(inner, count=5)
