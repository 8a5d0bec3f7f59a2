# SPDX-License-Identifier: Apache-2.0
"""Random policies and packets, from one generator: the same seed makes the same."""
import ipaddress
import struct
from dataclasses import replace
from functools import lru_cache

from lib.policy_model import ACK, AH, ESP, FIN, GRE, ICMP, ICMPV6, QUERIES, RST, SCTP, SYN, TCP, UDP, Packet, Peer, Policy, Rule

CORP = "spiffe://corp.example/"
PEERS = (
    Peer(CORP + "laptop/eng-1", ("10.90.0.2/32", "fd90::2/128"), "CN=Devices,O=corp.example", ("Engineering", "Build")),
    Peer(CORP + "laptop/eng-22", ("10.90.0.3/32", "fd90::3/128"), "CN=Devices,O=corp.example", ("Engineering",), True),
    Peer(CORP + "laptop/ext-1", ("10.90.0.4/32", "fd90::4/128"), "CN=Contractors,O=corp.example", ("Build",)),
    Peer(CORP + "site/berlin", ("10.30.0.0/16", "fd30::/48"), "CN=Sites,O=corp.example", (), True),
    Peer("spiffe://partner.example/hub/a/1", ("10.50.0.0/16", "fd50::/48"), None, (), False, True))
ADDRESSES = (("10.90.0.2", "fd90::2"), ("10.90.0.3", "fd90::3"), ("10.90.0.4", "fd90::4"),
             ("10.30.1.1", "10.30.2.2", "fd30::1"), ("10.50.0.9", "fd50::9"))
OUTSIDE = ("10.20.0.5", "10.20.3.4", "10.21.0.9", "192.0.2.7", "fd20::5", "2001:db8::7")
PATTERNS = ("laptop/eng-*", "laptop/*", "laptop/ext-1", "**", "site/*", "*/eng-1", "laptop/*-1", "laptop/e*-*2", "nobody")
NETWORKS = ("10.20.0.0/16", "10.20.3.0/24", "10.0.0.0/8", "10.30.1.0/24", "10.30.0.0/16", "10.90.0.0/16", "10.90.0.2/31",
            "fd20::/48", "fd30::/16", "fd90::2/127", "fd00::/8", "2001:db8::/32", "10.50.0.0/16")
PORTS = (22, 25, 53, 80, 443, 8000, 8080, 8100, 9100)
SERVICES = ("tcp", "tcp/22", "tcp/443", "tcp/80", "tcp/8000-8100", "tcp/25", "udp", "udp/53", "udp/8000-65535", "sctp/9100", "sctp",
            "icmp", "icmp/echo-request", "icmp/8/0", "icmp/13", "icmpv6", "icmpv6/128", "icmp/time-exceeded", "esp", "gre", "ah",
            "proto/253", "proto/6", "tcp/0-1023")


# --- policies


def some(random, pool, most):
    return random.sample(pool, random.randint(1, most))


def random_alternative(random):
    made = {}
    if random.random() < 0.7:
        made["identity"] = CORP + random.choice(PATTERNS) if random.random() < 0.9 else "spiffe://partner.example/hub/**"
    if random.random() < 0.2:
        made["issuer"] = random.choice(PEERS[:4]).issuer
    if random.random() < 0.2:
        made["unit"] = random.choice(("Build", "Engineering", "Nowhere"))
    if random.random() < 0.2 or not made:
        made["hardware"] = True
    return made


def random_word(random, policy):
    kind = random.choice(("group", "group", "group", "net", "net", "host", "identity", "prefix", "address"))
    if kind == "identity":
        return CORP + random.choice(PATTERNS)
    if kind == "prefix":
        return random.choice(NETWORKS)
    if kind == "address":
        return random.choice([a for group in ADDRESSES for a in group] + list(OUTSIDE))
    return f"{kind}:{random.choice(list({'group': policy.groups, 'net': policy.networks, 'host': policy.hosts}[kind]))}"


def random_side(random, policy):
    if random.random() < 0.25:
        return ["any"]
    return sorted({random_word(random, policy) for _ in range(random.randint(1, 3))})


def random_services(random, policy):
    if random.random() < 0.15:
        return ["any"]
    return some(random, SERVICES + tuple(f"service:{name}" for name in policy.services), 3)


def random_rule(random, policy):
    deny = random.random() < 0.35
    return Rule((random_side(random, policy), random_side(random, policy)), random_services(random, policy), deny,
                random.choice((None, None, True, False)) if deny else None)


def random_policy(random):
    policy = Policy({f"g{i}": [random_alternative(random) for _ in range(random.randint(1, 2))] for i in range(3)},
                    {f"n{i}": some(random, NETWORKS, 2) for i in range(3)},
                    {f"h{i}": some(random, OUTSIDE, 2) for i in range(2)},
                    {f"s{i}": some(random, SERVICES, 2) for i in range(2)}, [], None, random.random() < 0.7)
    policy.rules = [random_rule(random, policy) for _ in range(random.randint(0, 14))]
    if random.random() < 0.7:
        policy.inbound = [random_rule(random, policy) for _ in range(random.randint(0, 6))]
    return policy


def quoted(words):
    return ", ".join(f'"{word}"' for word in words)


def alternative_text(alternative):
    return "{ " + " ".join(f'{k} = {"true" if v is True else chr(34) + v + chr(34)};' for k, v in alternative.items()) + " }"


def rule_text(rule):
    text = f'{{ from = [ {quoted(rule.sides[0])} ]; to = [ {quoted(rule.sides[1])} ]; '
    text += f'{"deny" if rule.deny else "allow"} = [ {quoted(rule.services)} ];'
    if rule.reject is not None:
        text += f' reject = {str(rule.reject).lower()};'
    return text + " }"


def policy_text(policy):
    """(text, {line: rule}): a line for each rule, so that an error says which."""
    lines = ["policy: {", " groups: { " + " ".join(
        f'{name} = ( {", ".join(map(alternative_text, group))} );' for name, group in policy.groups.items()) + " };"]
    for kind in ("networks", "hosts", "services"):
        lines.append(f" {kind}: {{ " + " ".join(f"{name} = [ {quoted(words)} ];" for name, words in
                                                getattr(policy, kind).items()) + " };")
    where = {}
    for kind, rules in (("rules", policy.rules), ("inbound", policy.inbound)):
        if rules is None:
            continue
        lines.append(f" {kind} = (")
        for i, rule in enumerate(rules):
            lines.append("  " + rule_text(rule) + ("," if i + 1 < len(rules) else ""))
            where[len(lines)] = rule
        lines.append(" );")
    lines += [f' refuse = "{"reject" if policy.reject else "drop"}";', "};", ""]
    return "\n".join(lines), where


# --- packets


@lru_cache(None)
def packed(address):
    return ipaddress.ip_address(address).packed


def ip(source, destination, protocol, payload, ident=0, word=0, options=b""):
    a, b = packed(source), packed(destination)
    if len(a) == 4:
        size = 20 + len(options)
        return struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, size + len(payload), ident & 0xffff, word, 64, protocol, 0) + \
            a + b + options + payload
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + a + b + payload


def transport(packet):
    source, destination = packet.ports
    if packet.protocol == TCP:
        return struct.pack(">HHIIBBHHH", source, destination, 1, 1, 0x50, packet.flags, 1000, 0, 0)
    if packet.protocol == UDP:
        return struct.pack(">HHHH", source, destination, 12, 0) + b"data"
    if packet.protocol == SCTP:
        return struct.pack(">HHII", source, destination, 1, 0)
    if packet.protocol in (ICMP, ICMPV6):
        return struct.pack(">BBHHH", *packet.message, 0, source, 1) + b"data"
    return b"\0\1\0\2somebody"


def build(packet):
    return replace(packet, data=ip(packet.source, packet.destination, packet.protocol, transport(packet)))


def fresh(random, session, source, destination):
    v4 = ":" not in source
    protocol = random.choice((TCP, TCP, TCP, TCP, UDP, UDP, ICMP, ICMP, SCTP, GRE, ESP, AH, 253))
    packet = Packet(session, source, destination, protocol)
    if protocol in (TCP, UDP, SCTP):
        packet.ports = (random.randint(40000, 40007), random.choice(PORTS) if random.random() < 0.95 else random.randint(0, 65535))
        packet.flags = random.choice((SYN, SYN, SYN, ACK, SYN | ACK, FIN | ACK, RST)) if protocol == TCP else 0
    if protocol == ICMP:
        packet.protocol = ICMP if v4 else ICMPV6
        packet.message = random.choice(((8, 0), (8, 0), (8, 1), (0, 0), (13, 0), (14, 0), (30, 0)) if v4 else
                                       ((128, 0), (128, 0), (129, 0), (200, 3)))
        if packet.message[0] not in (30, 200):
            packet.ports = (random.randint(1, 3),) * 2
    return build(packet)


def answer(random, packet, model):
    """What the other end may say to it."""
    owner = model.owner(packet.destination)
    made = replace(packet, session=None if owner is None else PEERS.index(owner), source=packet.destination,
                   destination=packet.source, ports=packet.ports[::-1])
    if packet.protocol == TCP:
        made.flags = random.choice((SYN | ACK, SYN | ACK, ACK, ACK, RST | ACK, SYN))
    kind = QUERIES.get((packet.protocol, packet.message[0]))
    if kind and random.random() < 0.9:
        made.message = (kind[1], 0)
    return build(made)


def error(random, packet, model):
    """An ICMP error about it, from where it went or, rarely, from somebody else."""
    v4 = ":" not in packet.source
    made = answer(random, packet, model)
    if random.random() < 0.3:
        near = OUTSIDE if made.session is None else ADDRESSES[made.session]
        made.source = random.choice([a for a in near if (":" not in a) == v4 and a != packet.source] or [made.source])
    message = random.choice(((3, 1), (3, 4), (11, 0)) if v4 else ((1, 4), (2, 0), (3, 0)))
    quote = packet.data[:random.choice((28, 40, 2000))] if v4 else packet.data[:random.choice((56, 2000))]
    protocol = ICMP if v4 else ICMPV6
    body = struct.pack(">BBHI", *message, 0, 0) + quote
    return Packet(made.session, made.source, packet.source, protocol, message=message, quote=packet,
                  data=ip(made.source, packet.source, protocol, body))


def fragments(random, packet, ident):
    """A datagram in pieces: in order, out of order, overlapping, with pieces missing or twice."""
    v4 = ":" not in packet.source
    body = transport(packet)
    body += bytes(-len(body) % 8) + b"x" * 48
    cuts = [0, len(body) - 32, len(body) - 16, len(body)]
    pieces = [(a, b, b == len(body)) for a, b in zip(cuts, cuts[1:])]
    if random.random() < 0.3:
        random.shuffle(pieces)
    if random.random() < 0.3:
        a, b, last = random.choice(pieces)
        pieces.insert(random.randint(0, 3), random.choice(((a, b, last), (8 if a else 0, b, last), (a, b + 8 * (not last), last))))
    if packet.protocol == UDP:
        body = body[:4] + struct.pack(">H", len(body)) + body[6:]
    made = []
    for a, b, last in pieces:
        if v4:
            data = ip(packet.source, packet.destination, packet.protocol, body[a:b], ident, (0 if last else 0x2000) | a // 8)
        else:
            head = struct.pack(">BBHI", packet.protocol, 0, a | (not last), ident)
            data = ip(packet.source, packet.destination, 44, head + body[a:b])
        wrong = "fragment" if 0 < a < {TCP: 20, SCTP: 12}.get(packet.protocol, 8) or b > len(body) else None
        made.append(replace(packet, fragment=(ident, a, b, last), data=data, wrong=wrong))
    return made


def evasion(random, session, source, destination):
    """What must not even be judged, each with the one reason."""
    v4 = ":" not in source
    port = random.choice(PORTS)
    tcp = struct.pack(">HHIIBBHHH", 40000, port, 1, 0, 0x50, SYN, 1000, 0, 0)
    udp = struct.pack(">HHHH", 40000, port, 8, 0)
    both = [
        ("malformed", ip(source, destination, TCP, tcp[:12] + b"\x40" + tcp[13:])),
        ("malformed", ip(source, destination, TCP, tcp[:13] + b"\x03" + tcp[14:])),
        ("malformed", ip(source, destination, TCP, tcp[:13])),
        ("malformed", ip(source, destination, UDP, udp[:4] + b"\0\x09" + udp[6:])),
        ("malformed", ip(source, destination, TCP, tcp)[:-1]),
        ("malformed", ip(source, destination, TCP, tcp) + b"x"),
        ("address", ip(source, source, TCP, tcp)),
        ("protocol", ip(source, destination, ICMPV6 if v4 else ICMP, bytes(8)))]
    if v4:
        return random.choice(both + [
            ("malformed", b"\x44" + ip(source, destination, TCP, tcp)[1:]),
            ("options", ip(source, destination, TCP, tcp, options=b"\x83\7\4\x0a\x14\0\5\0")),
            ("options", ip(source, destination, TCP, tcp, options=b"\1\1\1\7")),
            ("fragment", ip(source, destination, TCP, tcp[:8], 9, 0x2000)),
            ("fragment", ip(source, destination, TCP, tcp[8:], 9, 1)),
            ("fragment", ip(source, destination, UDP, bytes(16), 9, 0x1fff)),
            ("address", ip("127.0.0.1", destination, TCP, tcp)),
            ("multicast", ip(source, "224.0.0.1", UDP, udp)),
            ("quote", ip(source, destination, ICMP, b"\3\1\0\0\0\0\0\0" + ip(destination, source, ICMP, b"\3\1" + bytes(30)))),
            ("quote", ip(source, destination, ICMP, b"\3\1\0\0\0\0\0\0" + ip("192.0.2.99", source, TCP, tcp)))])
    return random.choice(both + [
        ("extension", ip(source, destination, 60, b"\x3c\0\1\4\0\0\0\0" * 100 + tcp)),
        ("extension", ip(source, destination, 43, b"\6\2\0\1\0\0\0\0" + packed("fd20::5") + tcp)),
        ("extension", ip(source, destination, 60, b"\0\0\1\4\0\0\0\0\6\0\1\4\0\0\0\0" + tcp)),
        ("extension", ip(source, destination, 60, b"\6\2\1\2\0\0\xc9\x10" + packed("fd90::2") + tcp)),
        ("fragment", ip(source, destination, 44, b"\6\0\0\1\0\0\0\7" + tcp[:16])),
        ("fragment", ip(source, destination, 44, b"\x2c\0\0\1\0\0\0\7\6\0\0\1\0\0\0\7" + tcp + bytes(4))),
        ("address", ip("::ffff:10.90.0.2", destination, TCP, tcp)),
        ("address", ip("::10.90.0.2", destination, TCP, tcp)),
        ("multicast", ip(source, "ff02::1", UDP, udp))])


def hidden(random, packet):
    """The same packet behind headers that change nothing."""
    if ":" not in packet.source or packet.data[6] != packet.protocol:
        return packet
    chain, first = random.choice((
        (b"%c\0\1\4\0\0\0\0", 0), (b"%c\0\1\4\0\0\0\0", 60), (b"%c\0\4\0\0\0\0\0", 43), (b"%c\0\0\0\0\0\0\1", 44)))
    return replace(packet, data=ip(packet.source, packet.destination, first, chain % packet.protocol + packet.data[40:]))
