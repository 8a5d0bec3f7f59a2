# SPDX-License-Identifier: Apache-2.0
"""The bulk path: super-packets, runs of datagrams, partial checksums, congestion; what the kernel or the path cannot do."""

import concurrent.futures
import json
import os
import subprocess
import time

import pytest

from lib.host import SLOW, Failed, wait_for
from lib.traffic import LIB, PYTHON, Download, Probes, iperf, iperf_report

# "1G" and 10 for a machine that carries it; what a queue loses that is full for other reasons counts here, too.
UDP_RATE = os.environ.get("MUTUN_UDP_RATE", "30M")
UDP_RENEWALS = int(os.environ.get("MUTUN_UDP_RENEWALS", "3"))
OFFLOADS = ("tso", "uso", "join", "segment", "gro", "steer")


def counters(host, *names):
    """Counters of the host's kernel since it was made, from nstat."""
    found = json.loads(host.run("nstat", "-asz", "--json").stdout)["kernel"]
    return [found[name] for name in names]


def expect_no_checksum_errors(*hosts):
    names = "TcpInCsumErrors", "UdpInCsumErrors", "IpInHdrErrors"
    for host in hosts:
        assert counters(host, *names) == [0, 0, 0], f"{host}: {dict(zip(names, counters(host, *names)))}"


def bulk(gate, alice, family=4):
    """TCP both ways and UDP, each bit of it checked."""
    for server, client in ((gate, alice), (alice, gate)):
        before = client.session()["rx"]["bytes"]
        with Download(server.host, server.inner(family), client.host, megabytes_per_second=200) as download:
            wait_for("bytes enough", lambda: client.session()["rx"]["bytes"] - before > 50e6 / SLOW)
            download.finish()
    # 0.5 s of it.
    assert iperf(gate.host, gate.inner(family), alice.host, "-u", "-b", "30M", "-l", 1000, "-n", "2M", seconds=None) > 5e6 / SLOW


@pytest.mark.parametrize("without", [None, *OFFLOADS, "all"])
def test_with_and_without(world, without):
    """Whatever the kernel is not asked for, the same arrives."""
    off = OFFLOADS if without == "all" else [without] if without else []
    settings = {"offload": {name: name not in off for name in OFFLOADS}}
    world.gate = gate = world.gateway(**settings)
    world.alice = alice = world.client("alice", gate, **settings)
    world.start(gate, alice)
    for node in (gate, alice):
        expected = {name: "off" if name in off else "on" for name in OFFLOADS}
        assert node.status()["interface"]["offload"] == expected
    for family in (4, 6):
        bulk(gate, alice, family)
    expect_no_checksum_errors(gate.host, alice.host)
    for node in (gate, alice):
        assert not set(node.session()["drops"]) - {"congestion"}, node.session()["drops"]


def test_forwarded_and_translated(world):
    """Partial checksums are completed by the kernel of the far end when packets go on to a wire, also through NAT."""
    gate = world.gateway(gateway={"sites": world.sites(("berlin", 30)), "routes": ["10.20.0.0/24"]})
    office = world.add_lan(gate.host, 20)
    alice, berlin = world.client("alice", gate), world.site("berlin", gate, 30)
    world.start(gate, berlin, alice)
    # The office knows nothing of the tunnel's addresses: the gateway speaks for them.
    gate.host.nft("""table ip nat { chain out { type nat hook postrouting priority 100;
        ip saddr 10.90.0.0/16 oifname "lan" masquerade; }; }""")
    for end in (gate.host, office, berlin.host, berlin.lan):
        # A cable for which checksums are computed, and looked at.
        end.run("ethtool", "-K", "lan", "rx", "off", "tx", "off", "gro", "off", "tso", "off")
    for server, client in ((office, alice.host), (berlin.lan, alice.host), (office, berlin.lan)):
        with Download(server, server.inner4, client, megabytes_per_second=100) as download:
            time.sleep(1)
            assert download.finish()["bytes"] > 5e6 / SLOW
        assert iperf(server, server.inner4, client, "-u", "-b", "10M", "-l", 1200, seconds=1) > 2e6 / SLOW
    expect_no_checksum_errors(office, berlin.lan, alice.host, gate.host, berlin.host)


def test_path_that_loses_runs(world):
    """A router that loses everything larger than a packet: a driver that mangles UDP_SEGMENT looks like that. Found within
    2 s of bulk traffic, said once, and what follows goes singly."""
    world.gate = gate = world.gateway()
    world.alice = alice = world.client("alice", gate)
    world.start(gate, alice)
    alice.host.ping(gate.inner())
    world.internet.nft("table inet cut { chain large { type filter hook forward priority 0; meta length > 1600 drop; }; }")
    mark = alice.mark()
    with Download(alice.host, alice.inner(), gate.host, megabytes_per_second=50) as download:
        wait_for("the client to find out", lambda: alice.session()["segments_singly"], 3)
        # The transfer's own timer has backed off meanwhile, by seconds where the machine is slow.
        wait_for("the transfer to go on", lambda: gate.session()["rx"]["bytes"] > 6e6 / SLOW, 20)
        assert download.finish()["bytes"] > 5e6 / SLOW
    assert str(alice.log(mark)).count("do not arrive") == 1, alice.log(mark)


def test_congestion_on_the_way_is_told(world):
    """A router marks instead of dropping; the inner TCP hears of it (RFC 6040)."""
    world.gate = gate = world.gateway()
    world.alice = alice = world.client("alice", gate)
    world.start(gate, alice)
    for node in (gate, alice):
        node.host.sysctl("net.ipv4.tcp_ecn=1")
    world.internet.nft("""table ip marks { chain forwarded { type filter hook forward priority 0;
        meta l4proto udp ip ecn { ect0, ect1 } numgen random mod 20 == 0 ip ecn set ce; }; }""")
    with Download(alice.host, alice.inner(), gate.host, megabytes_per_second=50) as download:
        time.sleep(1)
        download.finish()
    (marked,) = counters(gate.host, "IpExtInCEPkts")
    (heard,) = counters(alice.host, "TcpExtTCPDeliveredCE")
    assert marked > 0 and heard > 0, f"{marked} marked packets, {heard} of them told to the sender"


class Relayed:
    """A relay between alice and the gateway; see lib/relay.py."""

    def __init__(self, world, gate, *impairment):
        self.gate = gate
        address = f"10.77.{gate.host.number}.254"
        self.process = world.internet.start(PYTHON, LIB / "relay.py", address, 443, gate.host.outer4, *impairment,
                                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise Failed(f"the relay did not start: {self.process.stdout.read()}")
        self.link = {"name": "hq", "to": [f"{address}:443"], "identity": world.pki.identity("gateway/*")}

    def stop(self):
        self.process.terminate()
        return json.loads(self.process.communicate(timeout=10 * SLOW)[0].splitlines()[-1])


def test_reordered(world):
    """A quarter of all datagrams is overtaken by up to 100 others: none is taken for a replay, none is lost."""
    world.gate = gate = world.gateway()
    relay = Relayed(world, gate, 0.25, 100)
    world.alice = alice = world.client("alice", gate, links=[relay.link])
    world.start(gate, alice)
    with Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
        time.sleep(4)
    probes.expect_no_loss(at_least=1000 / SLOW)
    carried = relay.stop()
    assert min(way["reordered"] for way in carried.values()) > 500 / SLOW, carried
    for node in (gate, alice):
        assert "replay" not in node.session()["drops"], node.session()["drops"]


def test_renewal_under_bulk(world):
    """Keys change ten times under 1.6 Gbit/s of TCP (where the machine can) and probes: nothing is lost by either account."""
    world.gate = gate = world.gateway()
    world.alice = alice = world.client("alice", gate)
    world.start(gate, alice)
    with Download(alice.host, alice.inner(), gate.host, megabytes_per_second=200) as download, \
            Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
        for count in range(1, 11):
            alice.mutun("reauth")
            wait_for(f"renewal {count}", lambda: alice.session()["renewals"] >= count)
            time.sleep(0.2)
        probes.stop()
        download.finish()
    probes.expect_no_loss(at_least=500 / SLOW)
    expect_no_loss_by_renewals(gate, alice)


def expect_no_loss_by_renewals(*nodes):
    for node in nodes:
        wait_for(f"the account of the last renewal at {node}",
                 lambda: node.session()["last_renewal"]["lost_packets"] is not None, 15)
        assert node.session()["renewals_lost_packets"] == 0
        assert not {"replay", "tag", "epoch", "index", "keys"} & set(node.session()["drops"]), node.session()["drops"]


def test_renewal_under_udp(world):
    """Keys change under a stream of datagrams, none of which anybody sends again: no number is missing in any epoch."""
    world.gate = gate = world.gateway()
    world.alice = alice = world.client("alice", gate)
    world.start(gate, alice)
    seconds = round((1.5 * UDP_RENEWALS + 1) * SLOW)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        stream = pool.submit(iperf_report, gate.host, gate.inner(), alice.host, "-u", "-b", UDP_RATE, "-l", 1350,
                             seconds=seconds)
        begun = alice.session()["tx"]["bytes"]
        wait_for("the stream", lambda: alice.session()["tx"]["bytes"] > begun + 1e6 / SLOW)
        for count in range(1, UDP_RENEWALS + 1):
            alice.mutun("reauth")
            wait_for(f"renewal {count}", lambda: alice.session()["renewals"] >= count)
        assert not stream.done(), "the stream ended before the last renewal"
        end = stream.result()["sum"]
    print(f"{end['bits_per_second'] / 1e6:.0f} Mbit/s, {end['lost_packets']} of {end['packets']} datagrams lost in all")
    expect_no_loss_by_renewals(gate, alice)


def test_ping_beside_bulk(world):
    """A long transfer does not fill the queue in front of a short packet. No figure of time: the machine may be busy; that
    the daemon told the sender is seen in its count, and that the transfer lives, in its bytes."""
    world.gate = gate = world.gateway()
    world.alice = alice = world.client("alice", gate)
    world.start(gate, alice)
    assert iperf(gate.host, gate.inner(), alice.host, seconds=3) > 50e6 / SLOW
    assert alice.host.ping(gate.inner(), count=20) == 20
