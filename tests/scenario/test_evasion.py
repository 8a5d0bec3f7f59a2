# SPDX-License-Identifier: Apache-2.0
"""Packets that mean one thing to a filter and another to the far end: put into the tunnel's interface of a client and of a gateway, none
arrives, and each is counted under its reason."""
import pytest

from lib.capture import Capture, inject, udp
from lib.host import Failed, wait_for
from lib.world import World

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6ND_NA, ICMPv6ND_NS, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                                IPv6ExtHdrRouting, HAO, Jumbo)
from scapy.layers.sctp import SCTP
from scapy.packet import Raw

GOOD = 7777


def patched(packet, at, *values):
    data = bytearray(bytes(packet))
    data[at:at + len(values)] = values
    return bytes(data)


def evasions4(source, destination):
    """(reason, what, packet)."""
    ip, syn = IP(src=source, dst=destination), TCP(dport=22, flags="S")
    udp_ = UDP(dport=22) / Raw(b"x" * 24)
    sent = IP(src=destination, dst=source) / TCP(sport=22, dport=22)  # what is quoted
    return [
        ("malformed", "header of 16 bytes", patched(ip / syn, 0, 0x44)),
        ("malformed", "header longer than the packet", patched(ip / syn, 0, 0x4f)),
        ("malformed", "one byte too many", bytes(ip / syn) + b"x"),
        ("malformed", "cut off", bytes(ip / syn)[:-1]),
        ("malformed", "TCP header of 16 bytes", patched(ip / syn, 32, 0x40)),
        ("malformed", "TCP header longer than the packet", patched(ip / syn, 32, 0xf0)),
        ("malformed", "SYN and FIN", ip / TCP(dport=22, flags="SF")),
        ("malformed", "no flags", ip / TCP(dport=22, flags="")),
        ("malformed", "UDP longer than the packet", patched(ip / udp_, 24, 0, 200)),
        ("malformed", "SCTP cut off", bytes(IP(src=source, dst=destination, len=28, proto=132) / Raw(bytes(SCTP(dport=22))[:8]))),
        ("options", "loose source route", IP(src=source, dst=destination, options=[IPOption(b"\x83\x07\x04\x0a\x14\x00\x0a")]) / syn),
        ("options", "strict source route", IP(src=source, dst=destination, options=[IPOption(b"\x89\x07\x04\x0a\x14\x00\x0a")]) / syn),
        ("options", "option of length 0", IP(src=source, dst=destination, options=[IPOption(b"\x07\x00\x00\x00")]) / syn),
        ("fragment", "tiny first", IP(src=source, dst=destination, flags="MF", proto=6) / Raw(bytes(syn)[:8])),
        ("fragment", "over the TCP header", IP(src=source, dst=destination, frag=1, proto=6) / Raw(bytes(syn)[8:])),
        ("fragment", "past the end", IP(src=source, dst=destination, frag=8191, proto=17) / Raw(b"x" * 32)),
        ("fragment", "not of eights", IP(src=source, dst=destination, flags="MF", frag=4, proto=17) / Raw(b"x" * 13)),
        ("address", "from loopback", IP(src="127.0.0.1", dst=destination) / syn),
        ("address", "from nobody", IP(src="0.0.0.0", dst=destination) / syn),
        ("address", "from the reserved", IP(src="240.0.0.1", dst=destination) / syn),
        ("address", "from many", IP(src="224.0.0.1", dst=destination) / syn),
        ("address", "to itself", IP(src=destination, dst=destination) / syn),
        ("protocol", "ICMPv6", IP(src=source, dst=destination, proto=58) / Raw(b"\x80" + bytes(15))),
        ("protocol", "redirect", ip / ICMP(type=5, code=1, gw="10.66.0.1") / sent),
        ("quote", "an error about an error", ip / ICMP(type=3, code=3) / IP(src=destination, dst=source) / ICMP(type=3) / sent),
        ("quote", "an error about what another sent", ip / ICMP(type=3, code=3) / IP(src="10.66.0.1", dst=source) / TCP()),
        ("quote", "an error about half a header", ip / ICMP(type=3, code=3) / Raw(bytes(sent)[:24]))]


def evasions6(source, destination):
    ip, syn = IPv6(src=source, dst=destination), TCP(dport=22, flags="S")
    sent = IPv6(src=destination, dst=source) / TCP(sport=22, dport=22)
    many = ip
    for _ in range(100):
        many /= IPv6ExtHdrDestOpt()
    return [
        ("malformed", "one byte too many", bytes(ip / syn) + b"x"),
        ("extension", "100 extension headers", many / syn),
        ("extension", "routing header of type 0", ip / IPv6ExtHdrRouting(type=0, addresses=["fd20::10"]) / syn),
        ("extension", "segments left", ip / IPv6ExtHdrRouting(type=4, segleft=1, addresses=["fd20::10"]) / syn),
        ("extension", "hop-by-hop second", ip / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / syn),
        ("extension", "a home address", ip / IPv6ExtHdrDestOpt(options=[HAO(hoa="fd90::99")]) / syn),
        ("extension", "a jumbo", ip / IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=70000)]) / syn),
        ("fragment", "transport in another one", ip / IPv6ExtHdrFragment(m=1, nh=60) / Raw(b"\x06\x00\x01\x04" + bytes(4))),
        ("fragment", "tiny first", ip / IPv6ExtHdrFragment(m=1, nh=6) / Raw(bytes(syn)[:16])),
        ("fragment", "a fragment in a fragment", ip / IPv6ExtHdrFragment(m=1) / IPv6ExtHdrFragment(m=1) / syn / Raw(b"xxxx")),
        ("address", "from a mapped address", IPv6(src="::ffff:10.90.0.2", dst=destination) / syn),
        ("address", "from a compatible address", IPv6(src="::10.90.0.2", dst=destination) / syn),
        ("address", "from loopback", IPv6(src="::1", dst=destination) / syn),
        ("address", "to itself", IPv6(src=destination, dst=destination) / syn),
        ("protocol", "neighbour solicitation", ip / ICMPv6ND_NS(tgt=destination)),
        ("protocol", "ICMP", IPv6(src=source, dst=destination, nh=1) / Raw(b"\x08" + bytes(15))),
        ("quote", "an error about an error", ip / ICMPv6DestUnreach() / IPv6(src=destination, dst=source) / ICMPv6DestUnreach() / sent),
        ("quote", "an error about what another sent", ip / ICMPv6DestUnreach() / IPv6(src="fd66::1", dst=source) / TCP())]


@pytest.fixture(scope="module")
def company():
    with World() as world:
        world.gate = world.gateway(gateway={"routes": ["10.20.0.0/24", "fd20::/64"]}, policy={
            "rules": [{"from": ["any"], "to": ["any"], "allow": [f"udp/{GOOD}", "icmp"]}]})
        world.office = world.add_lan(world.gate.host, 20)
        world.alice = world.client("alice", world.gate, policy={
            "inbound": [{"from": ["any"], "allow": [f"udp/{GOOD}", "icmp"]}]})
        world.start(world.gate, world.alice)
        world.office.wait_ping(world.alice.inner())
        yield world


def refused(source, destination):
    """(reason, what, packet) that the rules do not allow, whatever they are wrapped in."""
    layer = IP if ":" not in source else IPv6
    ip, syn = layer(src=source, dst=destination), TCP(sport=40000, dport=22, flags="S")

    def numbered(number):
        return layer(src=source, dst=destination, **{"proto" if layer is IP else "nh": number}) / Raw(b"\x00\x16\x1e\x61" + bytes(20))
    cases = [("TCP", ip / syn), ("UDP to another port", ip / UDP(dport=22) / Raw(b"x")), ("SCTP", ip / SCTP(dport=GOOD)),
             ("ESP", numbered(50)), ("GRE", numbered(47)), ("AH", numbered(51)), ("IP in IP", numbered(4)),
             ("IPv6 in IP", numbered(41)), ("something unknown", numbered(253))]
    if layer is IP:
        cases += [("with options", IP(src=source, dst=destination, options=[IPOption(b"\x07\x07\x04\x00\x00\x00\x00")]) / syn),
                  ("a first fragment", IP(src=source, dst=destination, flags="MF", proto=6, id=77) / Raw(bytes(syn) + b"xxxx"))]
    else:
        cases += [("behind options", ip / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / syn), ("nothing", numbered(59)),
                  ("an atomic fragment", ip / IPv6ExtHdrFragment(id=7) / syn)]
    return [("policy", what, packet) for what, packet in cases]


def expect_dropped(company, node, ends, cases, drops, target, interface):
    """Of what is put into `node`'s tunnel, only the good packet arrives at `target`; `drops` says what has been counted."""
    source, destination = ends
    good = udp((source, GOOD), (destination, GOOD), b"good")
    before, wanted = drops(), {}
    for reason, _, _ in cases:
        wanted[reason] = wanted.get(reason, 0) + 1

    def missing():
        now = drops()
        counted = {reason: now.get(reason, 0) - before.get(reason, 0) for reason in wanted}
        return {reason: (count, counted[reason]) for reason, count in wanted.items() if counted[reason] != count}
    with Capture(target, interface, f"dst host {destination}", company.directory) as capture:
        inject(node.host, "mutun0", [bytes(packet) for _, _, packet in cases] + [good], company.directory)
        try:
            wait_for("each to be counted", lambda: not missing(), 5)
        except Failed:
            raise Failed(f"reasons that were counted otherwise (wanted, counted): {missing()}") from None
    arrived = [packet for packet in capture.packets if packet.haslayer(Raw) and b"good" in bytes(packet)]
    assert len(arrived) == 1, "the good packet did not arrive"
    neighbours = [packet for packet in capture.packets if packet.haslayer(ICMPv6ND_NS) or packet.haslayer(ICMPv6ND_NA)]
    others = [packet.summary() for packet in capture.packets if packet not in arrived + neighbours]
    assert not others, f"arrived: {others}"


def end(company, family):
    return company.office.inner4 if family == 4 else company.office.inner6


@pytest.mark.parametrize("family", [4, 6])
def test_from_a_client(company, family):
    ends = company.alice.inner(family), end(company, family)
    cases = (evasions4 if family == 4 else evasions6)(*ends)
    expect_dropped(company, company.alice, ends, cases, lambda: company.alice.status()["drops"], company.office, "lan")


@pytest.mark.parametrize("family", [4, 6])
def test_from_the_network_behind_a_gateway(company, family):
    ends = end(company, family), company.alice.inner(family)
    cases = (evasions4 if family == 4 else evasions6)(*ends)
    expect_dropped(company, company.gate, ends, cases, lambda: company.gate.status()["drops"], company.alice.host, "mutun0")


@pytest.mark.parametrize("family", [4, 6])
def test_what_rules_do_not_name(company, family):
    """Protocols without ports, and ports behind headers, from both sides: the gateway refuses them."""
    ends = company.alice.inner(family), end(company, family)

    def drops():
        return company.gate.session(company.alice.identity)["drops"]
    expect_dropped(company, company.alice, ends, refused(*ends), drops, company.office, "lan")
    expect_dropped(company, company.gate, ends[::-1], refused(*ends[::-1]), drops, company.alice.host, "mutun0")
