# SPDX-License-Identifier: Apache-2.0
"""What a policy means, said as plainly and slowly as it can be: rules are gone through one by one, flows are entries of a dictionary,
fragments are sets of bytes. The daemon must say the same (test_policy.py)."""
import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache

TCP, UDP, ICMP, ICMPV6, SCTP, GRE, ESP, AH = 6, 17, 1, 58, 132, 47, 50, 51
FIN, SYN, RST, ACK = 1, 2, 4, 16
MESSAGES = {"echo-request": ((8, None), (128, None)), "echo-reply": ((0, None), (129, None)),
            "destination-unreachable": ((3, None), (1, None)), "packet-too-big": ((3, 4), (2, None)),
            "time-exceeded": ((11, None), (3, None)), "parameter-problem": ((12, None), (4, None))}
FRAGMENT_S = 30


@dataclass(frozen=True)
class Peer:
    identity: str
    prefixes: tuple
    issuer: str | None = None
    units: tuple = ()
    hardware: bool = False
    link: bool = False  # dialled by this node


@dataclass
class Rule:
    sides: tuple  # words of "from", words of "to"
    services: list
    deny: bool = False
    reject: bool | None = None


@dataclass
class Policy:
    groups: dict
    networks: dict
    hosts: dict
    services: dict
    rules: list
    inbound: list | None  # None: not set
    reject: bool = True


@dataclass
class Packet:
    session: int | None  # that it comes from; None: the TUN device
    source: str
    destination: str
    protocol: int
    ports: tuple = (0, 0)  # of ICMP queries the identifier, twice
    message: tuple = (0, 0)  # ICMP type and code
    flags: int = 0
    quote: "Packet | None" = None  # of an ICMP error
    fragment: tuple | None = None  # identification, first byte, behind the last, whether it is the last
    wrong: str | None = None  # why the parser must refuse it
    data: bytes = field(default=b"", repr=False)

    def service(self):
        return self.message[0] << 8 | self.message[1] if self.protocol in (ICMP, ICMPV6) else self.ports[1]


# --- words


def segment_matches(pattern, text):
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(segment_matches(pattern[1:], text[i:]) for i in range(len(text) + 1))
    return bool(text) and pattern[0] == text[0] and segment_matches(pattern[1:], text[1:])


@lru_cache(None)
def identity_matches(pattern, identity):
    wanted, have = pattern.split("/"), identity.split("/")
    if wanted[-1] == "**":
        wanted = wanted[:-1]
        if len(have) <= len(wanted):
            return False
        have = have[:len(wanted)]
    return len(wanted) == len(have) and all(segment_matches(a, b) for a, b in zip(wanted, have))


@lru_cache(None)
def contains(prefix, address):
    network, addr = ipaddress.ip_network(prefix), ipaddress.ip_address(address)
    return network.version == addr.version and addr in network


def alternative_matches(alternative, peer):
    return all((
        "identity" not in alternative or identity_matches(alternative["identity"], peer.identity),
        "issuer" not in alternative or alternative["issuer"] == peer.issuer,
        "unit" not in alternative or alternative["unit"] in peer.units,
        not alternative.get("hardware") or peer.hardware))


def word_matches(policy, word, peer, address):
    kind, _, name = word.partition(":")
    if word == "any":
        return True
    if kind == "group":
        return peer is not None and any(alternative_matches(a, peer) for a in policy.groups[name])
    if kind == "net":
        return any(contains(p, address) for p in policy.networks[name])
    if kind == "host":
        return any(contains(p, address) for p in policy.hosts[name])
    if kind == "spiffe":
        return peer is not None and identity_matches(word, peer.identity)
    return contains(word, address)


def message_matches(detail, protocol, port, both):
    """The part of "icmp/..." behind the first slash; `both`: it says icmp, not icmpv6."""
    if detail in MESSAGES:
        kind, code = MESSAGES[detail][protocol == ICMPV6]
        allowed = both or protocol == ICMPV6
    else:
        kind, _, code = detail.partition("/")
        kind, code = int(kind), int(code) if code else None
        allowed = protocol == (ICMP if both else ICMPV6)
    return allowed and port >> 8 == kind and code in (None, port & 255)


def service_matches(policy, word, protocol, port):
    if word == "any":
        return True
    kind, _, detail = word.partition("/")
    if kind.startswith("service:"):
        return any(service_matches(policy, w, protocol, port) for w in policy.services[word[8:]])
    if kind in ("icmp", "icmpv6"):
        known = protocol in ((ICMP, ICMPV6) if kind == "icmp" else (ICMPV6,))
        return known and (not detail or message_matches(detail, protocol, port, kind == "icmp"))
    if kind == "proto":
        return protocol == int(detail)
    if protocol != {"tcp": TCP, "udp": UDP, "sctp": SCTP, "esp": ESP, "ah": AH, "gre": GRE}[kind]:
        return False
    first, _, last = detail.partition("-")
    return not detail or int(first) <= port <= int(last or first)


# --- one program


def judge_program(policy, rules, ends, protocol, port):
    """(allowed, whether the sender is told, whether a rule decided)."""
    def matches(rule):
        return all(any(word_matches(policy, w, peer, address) for w in words)
                   for words, (peer, address) in zip(rule.sides, ends)) and \
            any(service_matches(policy, w, protocol, port) for w in rule.services)
    for rule in rules:
        if rule.deny and matches(rule):
            return False, policy.reject if rule.reject is None else rule.reject, True
    for rule in rules:
        if not rule.deny and matches(rule):
            return True, False, True
    return False, policy.reject, False


OWN = ("192.0.2.7", "fd20::5")  # addresses of the node itself
PING = [Rule((["any"], list(OWN)), ["icmp/echo-request"])]


def judge(policy, ends, protocol, port):
    """(allowed, told) of a first packet between two ends, each a peer (or None) and an address."""
    sender, receiver = ends[0][0], ends[1][0]
    programs = []
    if sender and sender.link:
        programs.append(PING if policy.inbound is None else policy.inbound)
    if (sender and not sender.link) or (receiver and not receiver.link):
        programs.append(policy.rules)
    for rules in programs:
        allowed, told, ruled = judge_program(policy, rules, ends, protocol, port)
        if not allowed:
            return False, told and (sender is not None or ruled)
    return True, False


# --- flows


QUERIES = {(ICMP, 8): (ICMP, 0), (ICMP, 13): (ICMP, 14), (ICMP, 15): (ICMP, 16), (ICMP, 17): (ICMP, 18),
           (ICMPV6, 128): (ICMPV6, 129)}
REPLIES = {reply: query for query, reply in QUERIES.items()}


@dataclass
class Flow:
    ends: tuple
    protocol: int
    service: int
    policy: Policy  # that judged it last
    seen: float
    replied: bool = False
    state: str = "syn"  # of TCP, as long as it is plain: syn, answered, open; else vague

    def lifetimes(self):
        """Seconds for which it lives at least, and at most."""
        if self.protocol == TCP:
            return (120, 120) if self.state == "syn" else (60, 60) if self.state == "answered" else \
                (432000, 432000) if self.state == "open" else (0, 432000)
        if self.protocol == UDP:
            return (120, 120) if self.replied else (30, 30)
        return (30, 30) if self.protocol in (ICMP, ICMPV6) else (600, 600)


class Model:
    """One node. judge() says what may happen to a packet: a set of names of drops ("none": it passes), with "!" if its sender is told."""

    def __init__(self, peers):
        self.peers, self.policy, self.now = peers, None, 0.0
        self.flows, self.wholes = {}, {}

    def owner(self, address):
        best = None
        for peer in self.peers:
            for prefix in peer.prefixes:
                length = ipaddress.ip_network(prefix).prefixlen
                if contains(prefix, address) and (best is None or length > best[0]):
                    best = (length, peer)
        return best[1] if best else None

    def ends(self, packet):
        sender = None if packet.session is None else self.peers[packet.session]
        return (sender, packet.source), (self.owner(packet.destination), packet.destination)

    def judge(self, packet):
        if packet.wrong:
            return {packet.wrong}
        (sender, _), (receiver, _) = ends = self.ends(packet)
        if sender and self.owner(packet.source) is not sender:
            return {"source"}
        if sender is receiver:
            return {"route"}
        if packet.fragment and packet.fragment[1]:
            return self.judge_later(packet, ends)
        if packet.quote:
            return self.judge_error(packet.quote, sender, receiver)
        verdicts = self.judge_by_flow(packet, ends)
        return self.judge_first(packet, ends, verdicts) if packet.fragment else verdicts

    # keys: ends as (identity or None, address), protocol, ports, ICMP type of the query

    def key(self, packet, ends):
        kind = (packet.protocol, packet.message[0] if packet.protocol in (ICMP, ICMPV6) else 0)
        names = tuple((peer and peer.identity, address) for peer, address in ends)
        return names, packet.ports, REPLIES.get(kind, kind)

    def alive(self, flow):
        """True, False, or None: not known. Within two seconds of the end, either may be."""
        idle, (least, most) = self.now - flow.seen, flow.lifetimes()
        return True if idle < least - 1 else False if idle > most + 1 else None

    def find(self, packet, ends):
        """[(flow, whether it is a reply, sure)]: none or one."""
        names, ports, kind = self.key(packet, ends)
        own = (packet.protocol, packet.message[0])
        ways = [(False, (names, ports, kind)), (True, (names[::-1], ports[::-1], kind))]
        if packet.protocol in (ICMP, ICMPV6):
            ways = ways[1:] if own in REPLIES else ways[:1]
        for reply, key in ways:
            flow = self.flows.get(key)
            if flow and self.alive(flow) is False:
                del self.flows[key]
            elif flow and flow.policy is not self.policy and not judge(self.policy, flow.ends, flow.protocol,
                                                                       flow.service)[0]:
                del self.flows[key]
            elif flow:
                sure = self.alive(flow) is True
                flow.policy = self.policy
                return [(flow, reply, sure)]
        return []

    def judge_error(self, quote, sender, receiver):
        found = self.find(quote, ((receiver, quote.source), (sender, quote.destination)))
        if not found:
            return {"quote"}
        return {"none"} if found[0][2] and found[0][0].state != "vague" else {"none", "quote"}

    def judge_by_flow(self, packet, ends):
        for flow, reply, sure in self.find(packet, ends):
            if not reply and flow.service != packet.service():
                break
            if sure and flow.state != "vague":
                return self.step(flow, reply, packet)
            verdicts = {"none", "state"} | self.begin(packet, ends, keep=True)
            flow.state, flow.seen = "vague" if packet.protocol == TCP else flow.state, self.now
            if reply and packet.protocol == TCP and "none" in self.begin(packet, ends, keep=True):
                # The old one may be over, and this begin a new one.
                self.flows[self.key(packet, ends)] = Flow(ends, packet.protocol, packet.service(), self.policy, self.now,
                                                          state="vague")
            return verdicts
        return self.begin(packet, ends)

    def step(self, flow, reply, packet):
        if packet.protocol == TCP:
            after = self.tcp_after(flow.state, reply, packet.flags)
            if after is None:
                return {"state"}
            flow.state = after
        flow.replied |= reply
        flow.seen = self.now
        return {"none"}

    @staticmethod
    def tcp_after(state, reply, flags):
        """What connection tracking makes of RFC 9293, while nobody closes; None: no such packet belongs here."""
        kind = flags & (SYN | ACK | FIN | RST)
        if kind & RST:
            return "vague"
        if kind & FIN:
            return None if state == "syn" else "vague"
        if kind == SYN and reply:
            return "vague" if state == "syn" else None
        if kind == SYN | ACK and reply:
            return "open" if state == "open" else "answered"
        if kind == SYN | ACK:
            return "answered" if state == "answered" else None
        if kind == SYN or reply:
            return state
        return None if state == "syn" else "open"

    def is_borrowed(self, ends):
        """Whether it comes to a peer with the address of another one, and not from there."""
        (sender, source), (receiver, _) = ends
        owner = self.owner(source)
        return sender is None and not receiver.link and owner is not None and not owner.link

    def begin(self, packet, ends, keep=False):
        if self.is_borrowed(ends):
            return {"source"}
        allowed, told = judge(self.policy, ends, packet.protocol, packet.service())
        if not allowed:
            return {"policy!" if told else "policy"}
        if (packet.protocol, packet.message[0]) in REPLIES:
            return {"state"}
        if packet.protocol == TCP and packet.flags & (SYN | ACK) == SYN | ACK and not packet.flags & RST:
            return {"state"}
        key = self.key(packet, ends)
        if not keep and key not in self.flows:
            first = packet.flags & (SYN | ACK | FIN | RST)
            state = {SYN: "syn", ACK: "open"}.get(first, "vague") if packet.protocol == TCP else "syn"
            self.flows[key] = Flow(ends, packet.protocol, packet.service(), self.policy, self.now, state=state)
        return {"none"}

    # fragments: by who, addresses, protocol (IPv4) and identification

    def whole_key(self, packet, ends):
        peer = ends[0][0] or ends[1][0]
        protocol = None if ":" in packet.source else packet.protocol
        return peer.identity, packet.source, packet.destination, protocol, packet.fragment[0]

    def whole(self, key):
        whole = self.wholes.get(key)
        if whole and self.now - whole["began"] > FRAGMENT_S:
            del self.wholes[key]
            return None
        return whole

    def judge_first(self, packet, ends, verdicts):
        key = self.whole_key(packet, ends)
        whole = self.whole(key)
        if whole:
            whole["verdict"] = {"overlap"}
            return {"overlap"}
        self.wholes[key] = {"began": self.now, "first": packet, "verdict": {v.rstrip("!") for v in verdicts}, "bytes": set(), "end": None}
        return self.take_bytes(key, packet) if "none" in verdicts else verdicts

    def judge_later(self, packet, ends):
        """As the first one, while the flow of that one is there and allowed."""
        key = self.whole_key(packet, ends)
        whole = self.whole(key)
        verdicts = self.take_bytes(key, packet) if whole else {"fragment"}
        if verdicts != {"none"}:
            return verdicts
        found = self.find(whole["first"], ends)
        if not found:
            return {"fragment"}
        return {"none"} if found[0][2] and found[0][0].state != "vague" else {"none", "fragment"}

    def take_bytes(self, key, packet):
        whole = self.wholes[key]
        _, begin, end, last = packet.fragment
        if whole["verdict"] != {"none"}:
            return whole["verdict"]
        new = set(range(begin // 8, (end + 7) // 8))
        overlap = whole["bytes"] & new or (whole["end"] is not None and (last or max(new) >= whole["end"])) or \
            (last and whole["bytes"] and max(whole["bytes"]) >= max(new))
        if overlap:
            whole["verdict"] = {"overlap"}
            return {"overlap"}
        whole["bytes"] |= new
        whole["end"] = max(new) + 1 if last else whole["end"]
        if len(whole["bytes"]) == whole["end"]:
            del self.wholes[key]
        return {"none"}
