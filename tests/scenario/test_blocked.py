# SPDX-License-Identifier: Apache-2.0
"""Networks that block UDP: packets go in the TLS connection, and over UDP again as soon as that gets through."""

import json
import signal
import subprocess
import time

from lib.host import SLOW, Failed, wait_for
from lib.node import binary
from lib.traffic import Download, Probes


def block(world, what="meta l4proto udp"):
    """The internet drops it from now on."""
    world.internet.nft(f"table inet wall {{ chain dropped {{ type filter hook forward priority 0; {what} drop; }}; }}")


def unblock(world):
    world.internet.nft("delete table inet wall")


def path(node, **which):
    return node.session(**which)["path"]


def wait_path(world, wanted, client=None, seconds=8):
    """Waits until both ends say so, while the client has something to send."""
    client = client or world.alice
    def look():
        client.host.ping(world.gate.inner(), count=1, check=False, wait=0.2)
        return path(client), path(world.gate, identity=client.identity)
    wait_for(f"packets of {client} to go over {wanted}", lambda: look() == (wanted, wanted), seconds)


def start(world, **settings):
    world.gate = world.gateway(**settings)
    world.alice = world.client("alice", world.gate)
    world.start(world.gate, world.alice)
    return world.gate, world.alice


def drops(*nodes):
    return {str(node): node.session()["drops"].get("channel", 0) for node in nodes}


def traced(gate, alice):
    """What the gateway says of a packet of alice's."""
    trace = gate.host.start(binary("mutun"), "--socket", gate.socket, "trace", "--from", alice.identity, "--proto", "icmp",
                            "--count", 1, "--json", stdout=subprocess.PIPE, text=True)
    wait_for("a traced packet", lambda: alice.host.ping(gate.inner(), count=1, check=False) and trace.poll() is not None)
    return next(line for line in map(json.loads, trace.stdout) if line.get("way") == "in")


def test_blocked_from_the_start(world):
    block(world)
    gate, alice = start(world)
    wait_path(world, "tcp")
    session = gate.session()["id"]
    alice.host.ping(gate.inner(), count=20)
    gate.host.ping(alice.inner(), count=20)
    alice.host.ping(gate.inner(), count=3, size=1300)
    with Download(gate.host, gate.inner(), alice.host):
        time.sleep(1.5)
    # Why, for people and for scripts.
    shown = alice.session()
    assert shown["endpoint"] == f"{gate.host.outer4}:443" and "UDP" in shown["path_reason"], shown
    assert "TCP" in shown["mtu_reason"] and shown["mtu"] >= 1280, shown
    assert "tcp" in alice.mutun("sessions").stdout and "UDP" in alice.mutun("status").stdout
    assert gate.session()["id"] == session and gate.session()["renewals"] == 0
    assert gate.session()["endpoint"].startswith(alice.host.outer4 + ":")
    assert traced(gate, alice)["over"] == "tcp"
    assert len([line for line in alice.log().splitlines() if "blocks UDP" in line]) == 1
    assert drops(gate, alice) == {"gateway": 0, "alice": 0}


def test_blocked_and_unblocked_in_mid_transfer(world):
    """The session, its channel and the stream go on, and what is lost is what left while nobody knew. Going back loses nothing."""
    gate, alice = start(world)
    session = gate.session()["id"]
    with Download(gate.host, gate.inner(), alice.host) as download:
        time.sleep(1)
        assert path(alice) == path(gate) == "udp"
        block(world)
        wait_path(world, "tcp")
        with Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
            time.sleep(1.5)
            unblock(world)
            wait_path(world, "udp", seconds=12)
            time.sleep(1)
            probes.expect_no_loss(500)
        download.finish()
    assert gate.session()["id"] == session and gate.session()["renewals"] == alice.session()["renewals"] == 0
    assert drops(gate, alice) == {"gateway": 0, "alice": 0}
    for node in (gate, alice):
        lines = [line for line in node.log().splitlines() if "UDP" in line and "over" in line]
        assert len(lines) == 2, lines


def test_one_way_is_not_enough(world):
    """Only what the gateway sends is dropped: alice's questions over UDP arrive, and must not lead its answers there."""
    gate, alice = start(world)
    block(world, f"ip saddr {gate.host.outer4} meta l4proto udp")
    wait_path(world, "tcp")
    with Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
        asked = gate.session()
        time.sleep(6)  # two questions
        probes.expect_no_loss(1000)
    assert path(gate) == path(alice) == "tcp" and gate.session()["id"] == asked["id"]


def test_renewal_in_the_channel(world):
    """Make before break, from one channel into the next."""
    block(world)
    gate, alice = start(world)
    wait_path(world, "tcp")
    with Download(gate.host, gate.inner(), alice.host), \
            Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
        for number in range(1, 4):
            time.sleep(1.2)
            alice.mutun("reauth")
            wait_for(f"renewal {number}", lambda: gate.renewals() == number)  # noqa: B023
        time.sleep(1)
        probes.expect_no_loss(1000)
    for node in (gate, alice):
        wait_for("what the last renewal lost", lambda: node.session()["last_renewal"]["lost_packets"] is not None, 15)  # noqa: B023
        assert node.session()["last_renewal"]["lost_packets"] == 0, node.session()  # the first lost what left before
    assert path(gate) == path(alice) == "tcp"


def test_gateway_restarts(world):
    block(world)
    gate, alice = start(world)
    wait_path(world, "tcp")
    inner = alice.inner()
    gate.kill()
    gate.start()
    alice.wait_up()
    alice.host.wait_ping(gate.inner())
    wait_path(world, "tcp")
    assert alice.inner() == inner
    # Nor does it take UDP for blocked for ever.
    unblock(world)
    wait_path(world, "udp", seconds=20)
    alice.host.ping(gate.inner())


def test_two_peers_between_udp_and_tcp(world):
    """One is behind a wall, the other is not."""
    gate, alice = start(world)
    bob = world.client("bob", gate)
    world.start(bob)
    block(world, f"ip saddr {alice.host.outer4} meta l4proto udp")
    wait_path(world, "tcp")
    alice.host.ping(bob.inner(), count=20)
    bob.host.ping(alice.inner(), count=20)
    assert path(gate, identity=bob.identity) == "udp"


def test_ping_beside_a_download_over_a_slow_line(world):
    """No queue of ours grows: what waits is what the line itself lets wait, and a little."""
    block(world)
    gate, alice = start(world)
    wait_path(world, "tcp")
    world.internet.run("tc", "qdisc", "add", "dev", alice.host.far, "root", "tbf", "rate", "8mbit", "burst", "16kb",
                       "latency", "50ms")
    server = alice.host.start("iperf3", "-s", "-1", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    alice.host.wait_listening(5201)
    client = gate.host.start("iperf3", "-J", "-c", alice.inner(), "-t", int(8 * SLOW), stdout=subprocess.PIPE, text=True)
    time.sleep(2 * SLOW)
    done = alice.host.run("ping", "-n", "-c", 40, "-i", 0.1, "-W", 2, gate.inner(), check=False, timeout=30)
    report = json.loads(client.communicate(timeout=60)[0])
    server.wait()
    rate = report["end"]["sum_received"]["bits_per_second"]
    times = sorted(float(line.split("time=")[1].split()[0]) for line in done.stdout.splitlines() if "time=" in line)
    print(f"{rate / 1e6:.1f} Mbit/s, ping median {times[len(times) // 2]:.0f} ms, worst {times[-1]:.0f} ms, {len(times)} of 40")
    if rate < 4e6:
        raise Failed(f"the download got {rate / 1e6:.1f} of 8 Mbit/s")
    assert len(times) >= 32, done.stdout
    assert times[len(times) // 2] < 300 * SLOW, times
    assert path(gate) == "tcp"


def test_a_peer_that_does_not_read(world):
    """Its TCP connection stalls in mid-flood: the gateway keeps a bounded amount for it, and others do not notice."""
    gate, alice = start(world)
    bob = world.client("bob", gate)
    world.start(bob)
    block(world, f"ip saddr {alice.host.outer4} meta l4proto udp")
    wait_path(world, "tcp")
    inner = alice.inner()
    before = memory(gate)
    alice.process.send_signal(signal.SIGSTOP)  # the kernel acknowledges until its buffers are full, and nobody reads
    try:
        with Probes((gate.host, gate.inner()), (alice.host, inner), rate=int(8000 / SLOW), size=1200):  # 40 MB
            time.sleep(3)
            with Probes((bob.host, bob.inner()), (gate.host, gate.inner())) as probes:
                time.sleep(1)
                probes.expect_no_loss(100)
        assert gate.session(alice.identity)["drops"]["channel"] > 1000, gate.session(alice.identity)
        if SLOW == 1:  # sanitizers keep what was freed
            assert memory(gate) < before + (8 << 20), (before, memory(gate))
    finally:
        alice.process.send_signal(signal.SIGCONT)


def memory(node):
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS:"))
