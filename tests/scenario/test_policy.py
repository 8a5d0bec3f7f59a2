# SPDX-License-Identifier: Apache-2.0
"""The policy of the daemon against a model of it: random policies, random packets in both directions, replies, ICMP errors, fragments,
evasions, reloads and time, judged by the daemon's own configuration, filter, parser and flows (verdicts.c) and by lib/policy_model.py.
A difference is cut down to few packets and rules before it is shown.

MUTUN_POLICY_SEED (default 1), MUTUN_POLICY_SEEDS (how many from there on, default 3), MUTUN_POLICY_PACKETS (of each, default 4000)."""
import copy
import os
import random
import struct
import subprocess

import pytest

from lib.node import binary
from lib.policy_model import OWN, Model
from lib import policy_random as make

SEED = int(os.environ.get("MUTUN_POLICY_SEED", 1))
SEEDS = int(os.environ.get("MUTUN_POLICY_SEEDS", 3))
PACKETS = int(os.environ.get("MUTUN_POLICY_PACKETS", 4000))
FRAGMENTED_MOST = 12  # datagrams, before what is left of them is over: more would push each other out
RELOADS_EVERY = 400


class Judge:
    """verdicts.c, over pipes."""

    def __init__(self, directory):
        self.directory, self.loaded = directory, 0
        peers = directory / "peers"
        peers.write_text("".join("\t".join((
            "link" if peer.link else "peer", peer.identity, peer.issuer or "-", "hardware" if peer.hardware else "-",
            ",".join(peer.units) or "-", ",".join(peer.prefixes))) + "\n" for peer in make.PEERS)
                         + "\t".join(("own", "-", "-", "-", "-", ",".join(OWN))) + "\n")
        self.process = subprocess.Popen([binary("verdicts"), peers], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.names = self.process.stdout.readline().decode().split()

    def ask(self, records, size):
        self.process.stdin.write(b"".join(records) + b"F")
        self.process.stdin.flush()
        return self.process.stdout.read(size)

    def load(self, text):
        """None, or the errors."""
        path = self.directory / f"policy-{self.loaded}.conf"
        self.loaded += 1
        path.write_text(text)
        name = str(path).encode()
        if self.ask([b"R" + struct.pack(">H", len(name)) + name], 1) == b"\0":
            return None
        size = struct.unpack(">H", self.process.stdout.read(2))[0]
        return self.process.stdout.read(size).decode()

    def wait(self, seconds):
        self.ask([b"T" + struct.pack(">I", seconds)], 0)

    def packets(self, packets):
        records = [b"P" + struct.pack(">BH", 255 if p.session is None else p.session, len(p.data)) + p.data for p in packets]
        return [self.names[b & 127] + ("!" if b & 128 else "") for b in self.ask(records, len(packets))]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(10) == 0


def acceptable(judge, dice):
    """A random policy without what the daemon refuses as hardly meant: rules that decide nothing, words that say nothing."""
    while True:
        policy = make.random_policy(dice)
        while True:
            text, where = make.policy_text(policy)
            said = judge.load(text)
            if said is None:
                return policy
            lines = {int(line.split(".conf:")[1].split(":")[0]) for line in said.splitlines() if ".conf:" in line}
            bad = [id(where[line]) for line in lines if line in where]
            if not bad:
                break
            policy.rules = [r for r in policy.rules if id(r) not in bad]
            policy.inbound = policy.inbound and [r for r in policy.inbound if id(r) not in bad]


def random_ends(dice):
    session = dice.choice((0, 0, 1, 2, 3, 4, None, None))
    own = make.OUTSIDE if session is None else make.ADDRESSES[session]
    everywhere = [a for group in make.ADDRESSES for a in group] + list(make.OUTSIDE)
    source = dice.choice(own if dice.random() < 0.95 else everywhere)
    destination = dice.choice([a for a in everywhere if (":" in a) == (":" in source) and a != source and (session is None or a not in own)])
    return session, source, destination


class Source:
    """Events: ("policy", policy), ("wait", seconds), ("packet", packet)."""

    def __init__(self, dice, judge):
        self.dice, self.judge, self.owners = dice, judge, Model(make.PEERS)
        self.seen, self.passed, self.fragmented, self.count, self.ident = [], [], 0, 0, 0
        self.held, self.due = [], []  # pieces of a datagram whose others came before a reload

    def next(self):
        if self.due:
            made, self.due = self.due, []
            return [("packet", packet) for packet in made]
        if self.count % RELOADS_EVERY == 0:
            self.count += 1
            self.held, self.due = [], self.held
            return [("policy", acceptable(self.judge, self.dice))]
        roll = self.dice.random()
        if self.fragmented >= FRAGMENTED_MOST or roll < 0.003:
            self.fragmented, self.held = 0, []
            return [("wait", self.dice.choice((33, 33, 41, 700, 500000)))]
        made = self.packets(roll)
        self.count += len(made)
        return [("packet", packet) for packet in made]

    def note(self, packet, said):
        """What is answered later: rather what passed."""
        if not packet.wrong and not packet.quote and not packet.fragment:
            self.seen = (self.seen + [packet])[-40:]
            self.passed = (self.passed + [packet] * (said == "none"))[-40:]

    def packets(self, roll):
        dice = self.dice
        if self.seen and roll < 0.5:
            before = dice.choice(self.passed if self.passed and dice.random() < 0.7 else self.seen)
            if roll < 0.3:
                return [make.answer(dice, before, self.owners)]
            if roll < 0.4:
                return [make.hidden(dice, before)]
            return [make.error(dice, before, self.owners)]
        session, source, destination = random_ends(dice)
        if roll < 0.55:
            wrong, data = make.evasion(dice, session, source, destination)
            return [make.Packet(session, source, destination, 0, wrong=wrong, data=data)]
        packet = make.fresh(dice, session, source, destination)
        if roll < 0.6:
            self.fragmented += 1
            self.ident += 1
            made = make.fragments(dice, packet, self.ident)
            if len(made) > 1 and self.count % RELOADS_EVERY > RELOADS_EVERY - 60:
                made, self.held = made[:-1], made[-1:]
            return made
        return [packet]


def replay(directory, events):
    """The first event about which both differ: (position, what the daemon said, what the model allows), or None."""
    model = Model(make.PEERS)
    with Judge(directory) as judge:
        for i, (kind, value) in enumerate(events):
            if kind == "policy":
                if judge.load(make.policy_text(value)[0]) is not None:
                    return None
                model.policy = value
            elif kind == "wait":
                judge.wait(value)
                model.now += value
            else:
                said = judge.packets([value])[0]
                allowed = model.judge(value)
                if said not in allowed:
                    return i, said, allowed
    return None


def fails(directory, events):
    return bool(events) and events[0][0] == "policy" and replay(directory, events) is not None


def shrink_list(things, bad):
    """A shorter list that is still bad."""
    size = max(1, len(things) // 2)
    while True:
        i = 0
        while i < len(things):
            fewer = things[:i] + things[i + size:]
            if bad(fewer):
                things = fewer
            else:
                i += size
        if size == 1:
            return things
        size = max(1, size // 2)


def shrink_policy(directory, events, at):
    policy = events[at][1]
    for name in ("rules", "inbound"):
        def with_rules(rules):
            changed = copy.copy(policy)
            setattr(changed, name, rules)
            return events[:at] + [("policy", changed)] + events[at + 1:]
        if getattr(policy, name):
            setattr(policy, name, shrink_list(getattr(policy, name), lambda rules: fails(directory, with_rules(rules))))
    return events


def shrink(directory, events):
    events = shrink_list(events, lambda fewer: fails(directory, fewer))
    for at, (kind, value) in enumerate(events):
        if kind == "policy":
            events[at] = ("policy", copy.deepcopy(value))
            events = shrink_policy(directory, events, at)
    return shrink_list(events, lambda fewer: fails(directory, fewer))


def explain(directory, events):
    at, said, allowed = replay(directory, events)
    text = [f"the daemon says {said}, the model {' or '.join(sorted(allowed))}, about the last of:"]
    for kind, value in events[:at + 1]:
        text.append(make.policy_text(value)[0] if kind == "policy" else f"{kind}: {value}" +
                    (f" {value.data.hex()}" if kind == "packet" else ""))
    return "\n".join(text)


@pytest.mark.parametrize("seed", range(SEED, SEED + SEEDS))
def test_the_daemon_says_what_the_model_says(seed, tmp_path):
    dice, model, events, counts = random.Random(seed), Model(make.PEERS), [], {}
    with Judge(tmp_path) as judge:
        source = Source(dice, judge)
        while source.count < PACKETS:
            batch = source.next()
            events += batch
            kind, value = batch[0]
            if kind == "policy":
                model.policy = value
            elif kind == "wait":
                judge.wait(value)
                model.now += value
            else:
                packets = [packet for _, packet in batch]
                for packet, said in zip(packets, judge.packets(packets)):
                    counts[said] = counts.get(said, 0) + 1
                    source.note(packet, said)
                    allowed = model.judge(packet)
                    if said not in allowed:
                        pytest.fail(explain(tmp_path, shrink(tmp_path, events)))
    print(seed, counts)
    # Or it would have shown little.
    if PACKETS >= 4000:
        assert {"none", "policy", "policy!", "state", "source", "quote", "fragment", "overlap"} <= set(counts)
        assert counts["none"] > PACKETS / 10
