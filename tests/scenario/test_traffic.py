# SPDX-License-Identifier: Apache-2.0
"""Packets through the tunnel: IPv4 and IPv6 inside IPv4 and IPv6; clients, a site and the gateway's own network."""

import json
import re
import time

import pytest

from lib.host import Failed, wait_for
from lib.traffic import Probes, iperf, serve_files
from lib.world import World

PATTERN = "6d7574756e21"  # in the pings of the capture: must never be seen outside


@pytest.fixture(scope="module", params=[4, 6], ids=["over-ipv4", "over-ipv6"])
def pair(request):
    with World() as world:
        world.gate = world.gateway()
        world.alice = world.client("alice", world.gate, family=request.param)
        world.start(world.gate, world.alice)
        world.family = request.param
        yield world


@pytest.fixture(scope="module")
def company():
    """A gateway with an office behind it, three clients, a site with a host behind it."""
    with World() as world:
        world.gate = world.gateway(gateway={"sites": world.sites(("berlin", 30)),
                                            "routes": ["10.20.0.0/24", "fd20::/64"]})
        world.office = world.add_lan(world.gate.host, 20)
        world.clients = [world.client(name, world.gate) for name in ("alice", "bob", "carol")]
        world.berlin = world.site("berlin", world.gate, 30)
        world.start(world.gate, world.berlin, *world.clients)
        yield world


@pytest.mark.parametrize("inner", [4, 6])
class TestPair:
    def test_ping(self, pair, inner):
        pair.alice.host.ping(pair.gate.inner(inner), count=50, interval=0.005)
        pair.gate.host.ping(pair.alice.inner(inner), count=50, interval=0.005)

    def test_ping_sizes(self, pair, inner):
        overhead = 28 if inner == 4 else 48
        for size in (0, 1, 1000, 1280 - overhead, 1419 - overhead, 1420 - overhead, 1421 - overhead, 8000):
            pair.alice.host.ping(pair.gate.inner(inner), count=2, size=size)

    def test_mtu(self, pair, inner):
        """What is too large for the tunnel and may not be fragmented is answered, not swallowed."""
        size = 1421 - (28 if inner == 4 else 48)
        done = pair.alice.host.run("ping", "-n", "-c", 1, "-W", 1, "-M", "do", "-s", size, pair.gate.inner(inner),
                                   check=False)
        # Old pings name the MTU, newer ones only say what the kernel said.
        assert re.search("1420|[Mm]essage too long", done.stdout + done.stderr), done.stdout + done.stderr
        pair.alice.host.ping(pair.gate.inner(inner), count=1, size=size - 1)

    def test_no_loss_at_rest(self, pair, inner):
        with Probes((pair.alice.host, pair.alice.inner(inner)), (pair.gate.host, pair.gate.inner(inner))) as probes:
            time.sleep(2)
        probes.expect_no_loss(at_least=500)

    @pytest.mark.parametrize("options", [[], ["-R"], ["-P", "4"], ["-u", "-b", "20M", "-l", "1000"]],
                             ids=["up", "down", "four", "udp"])
    def test_iperf3(self, pair, inner, options):
        bits = iperf(pair.gate.host, pair.gate.inner(inner), pair.alice.host, *options, seconds=1)
        assert bits > 10e6 if "-u" not in options else bits > 5e6


def test_nothing_in_clear(pair):
    """What leaves the hosts holds no inner packet: a pattern in pings is not found in a capture of everything outside."""
    capture = pair.directory / "outside.pcap"
    sniffer = pair.internet.start("tcpdump", "-U", "-i", "any", "-w", capture)
    wait_for("the capture's start", capture.exists)
    time.sleep(0.5)
    for inner in (4, 6):
        pair.alice.host.run("ping", "-n", "-q", "-c", 20, "-i", "0.01", "-p", PATTERN, pair.gate.inner(inner))
    time.sleep(0.3)
    sniffer.terminate()
    sniffer.wait()
    seen = capture.read_bytes()
    assert len(seen) > 40 * 100, "the capture saw no tunnel packets"
    assert bytes.fromhex(PATTERN) not in seen, "an inner packet was seen outside"


def test_counters(pair):
    """Packets and bytes in status are those that went through, on both sides."""
    def counts():
        mine, theirs = pair.alice.session(), pair.gate.session(pair.alice.identity)
        return [(session[way]["packets"], session[way]["bytes"]) for session in (mine, theirs) for way in ("tx", "rx")]
    before = counts()
    pair.alice.host.ping(pair.gate.inner(4), count=10, size=100)
    after = counts()
    moved = [(packets - old[0], size - old[1]) for (packets, size), old in zip(after, before)]
    for packets, size in moved:
        assert packets >= 10 and size >= 10 * 128, f"10 pings of 128 bytes moved {moved}"
    assert max(packets for packets, _ in moved) < 25, f"10 pings moved {moved}"


def test_status(pair):
    status = pair.alice.status()
    session = pair.alice.session()
    assert status["schema"] == 1 and status["identity"] == pair.alice.identity
    assert status["policy"]["rules"] == 1 and status["policy"]["words"].startswith("1 inbound rules, digest ")
    offloads = ("tso", "uso", "join", "segment", "gro", "steer")
    assert status["interface"] == {"name": "mutun0", "mtu": 1420, "offload": dict.fromkeys(offloads, "on")}
    assert "expires in" in status["certificate"]["words"] and status["certificate"]["problem"] is None
    assert session["identity"] == pair.gate.identity and session["role"] == "gateway" and session["link"] == "hq"
    assert session["path"] == "udp" and session["epoch"] >= 1
    assert "expires in" in session["certificate"]["words"]
    far = pair.gate.session(pair.alice.identity)
    assert far["role"] == "client" and far["id"] == session["id"] and far["addresses"] == session["addresses"]
    wait_for("a measured round trip", lambda: pair.alice.session()["rtt_ms"] is not None)
    for words in ("status", "sessions", "routes"):
        text = pair.alice.mutun(words).stdout
        assert pair.gate.identity in text, f"mutun {words} prints no peer:\n{text}"


@pytest.mark.parametrize("inner", [4, 6])
class TestCompany:
    def test_everyone_reaches_everyone(self, company, inner):
        family = f"inner{inner}"
        places = [(node.host, node.inner(inner)) for node in company.clients]
        places += [(company.berlin.lan, getattr(company.berlin.lan, family)),
                   (company.office, getattr(company.office, family))]
        for host, own in places:
            for other, address in places:
                if other is not host:
                    host.ping(address, count=5, interval=0.005)

    def test_addresses_are_kept(self, company, inner):
        """No translation on the way: the far end sees the tunnel address."""
        alice, lan = company.clients[0], company.berlin.lan
        with Probes((alice.host, alice.inner(inner)), (lan, getattr(lan, f"inner{inner}"))) as probes:
            time.sleep(0.5)
        probes.expect_no_loss(at_least=100)

    def test_iperf3_to_site(self, company, inner):
        lan = company.berlin.lan
        address = getattr(lan, f"inner{inner}")
        for options in ([], ["-R"]):
            assert iperf(lan, address, company.clients[1].host, *options, seconds=1) > 5e6

    def test_iperf3_client_to_client(self, company, inner):
        alice, bob = company.clients[:2]
        assert iperf(alice.host, alice.inner(inner), bob.host, seconds=1) > 5e6


def test_page_from_site(company):
    folder = company.directory / "www"
    folder.mkdir()
    (folder / "index.html").write_text("hello from the site\n")
    serve_files(company.berlin.lan, folder, company.berlin.lan.inner4)
    for client in company.clients:
        done = client.host.run("curl", "-s", "--max-time", 5, f"http://{company.berlin.lan.inner4}/")
        assert done.stdout == "hello from the site\n"


def test_leases_and_routes(company):
    """Everybody has addresses of his own; `mutun routes` knows whose is what."""
    leased = [address for node in company.clients for address in node.session()["addresses"]]
    assert len(set(leased)) == 6 and all(address.endswith(("/32", "/128")) for address in leased), leased
    routes = {(route["prefix"], route["identity"]) for route in company.gate.ask("routes")["routes"]}
    for node in company.clients:
        for address in node.session()["addresses"]:
            assert (address, node.identity) in routes
    for network in company.berlin.networks:
        assert (network, company.berlin.identity) in routes
    pushed = company.clients[0].session()["routes"]
    assert {"10.90.0.0/16", "fd90::/64", "10.20.0.0/24", "fd20::/64", *company.berlin.networks} == set(pushed)
    own = company.berlin.session()["routes"]
    assert not set(company.berlin.networks) & set(own), f"the site was sent its own networks: {own}"


def test_outside_stays_outside(company):
    """What is not routed into the tunnel goes the old way."""
    alice = company.clients[0]
    alice.host.ping(company.gate.host.outer4, count=2)
    found = json.loads(alice.host.ip("-j", "route", "get", "192.0.2.1").stdout)[0]
    if found["dev"] != "wan":
        raise Failed(f"a foreign address is routed into {found['dev']}")
