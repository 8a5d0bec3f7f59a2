# SPDX-License-Identifier: Apache-2.0
"""The policy of a gateway and of a client as a whole: what holds without one, what a reload makes of it, what ends by itself, which
policies are not taken, and what is said of all that."""

import time

import pytest
from lib.host import wait_for
from lib.world import World

PING = ["icmp/echo-request"]
LATER_S = 5


def rule(source, target, allow=PING, **more):
    return {"from": [source], "to": [target], "allow": allow} | more


def answered(host, address):
    return host.ping(address, count=2, check=False, wait=1)


@pytest.fixture
def pair():
    with World() as world:
        world.gate = world.gateway(policy=None)
        world.alice = world.client("alice", world.gate, policy=None)
        world.start(world.gate, world.alice)
        yield world


def test_denied_unless_allowed(pair):
    """Each direction is a rule of its own; a client by itself lets in replies and pings."""
    gate, alice = pair.gate, pair.alice
    assert gate.log().count("nothing passes this gateway") == 1
    assert gate.status()["policy"]["words"] == "no rules: nothing passes this gateway"
    assert answered(alice.host, gate.inner()) == 0 and answered(gate.host, alice.inner()) == 0

    gate.configure(policy={"rules": [rule(alice.identity, "self", name="up")]})
    gate.reload()
    assert answered(alice.host, gate.inner()) == 2 and answered(gate.host, alice.inner()) == 0
    gate.configure(policy={"rules": [rule("self", alice.identity, name="down")]})
    gate.reload()
    assert answered(alice.host, gate.inner()) == 0 and answered(gate.host, alice.inner()) == 2

    alice.configure(policy={"inbound": [rule("10.0.0.1", "any")]})
    alice.reload()
    assert answered(gate.host, alice.inner()) == 0
    assert gate.log().count("nothing passes this gateway") == 1


def test_explained(pair):
    """The running daemon answers for a connected peer with its own address."""
    gate, alice = pair.gate, pair.alice
    gate.configure(policy={"rules": [rule("any", "self", name="up"),
                                     {"name": "no telnet", "from": ["any"], "to": ["any"], "deny": ["tcp/23"]}]})
    gate.reload()
    words = ("policy", "explain", "--from", alice.identity, "--to", gate.inner())
    said = gate.ask(*words, "icmp")
    assert said["verdict"] == "allow" and said["rule"]["name"] == "up" and said["next_verdict"] == "reject"
    assert said["from"]["connected"] and said["from"]["address"] == alice.inner()
    assert said["to_matched"] == {"word": "self", "entry": f"{gate.inner()}/32"}
    done = gate.mutun(*words, "tcp/23", check=False)
    assert done.returncode == 1 and 'REJECTED by rule "no telnet" (mutun.conf:' in done.stdout, done.stdout
    done = gate.mutun(*words, "tcp/22", check=False)
    assert done.returncode == 1 and 'rule "up" (mutun.conf:' in done.stdout and "does not allow this service" in done.stdout


def test_expires(pair):
    """What a rule let pass ends with it, without a reload."""
    gate, alice = pair.gate, pair.alice
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + LATER_S))
    gate.configure(policy={"rules": [rule(alice.identity, "self", expires=end)]})
    gate.reload()
    assert answered(alice.host, gate.inner()) == 2
    assert gate.status()["policy"]["next_change"] is not None
    wait_for("the end of the rule", lambda: answered(alice.host, gate.inner()) == 0, LATER_S + 10)
    wait_for("nothing to change any more", lambda: gate.status()["policy"]["next_change"] is None)


def test_not_taken(pair):
    """A policy whose tests fail changes nothing, and no daemon starts with it."""
    gate, alice = pair.gate, pair.alice
    good = {"rules": [rule(alice.identity, "self")]}
    gate.configure(policy=good)
    gate.reload()
    digest = gate.status()["policy"]["digest"]
    gate.configure(policy={"rules": [rule("any", "any", ["tcp"])],
                           "tests": [{"from": alice.identity, "to": gate.inner(), "allow": ["icmp/8"]}]})
    done = gate.mutun("reload", check=False)
    assert done.returncode == 1 and "no rule allows it" in done.stdout + done.stderr, done
    assert gate.status()["policy"]["digest"] == digest and answered(alice.host, gate.inner()) == 2
    check = gate.host.run(*gate.command, "--check", gate.config, check=False)
    assert check.returncode == 1 and "policy.tests[0]" in check.stderr
    check = gate.mutun("policy", "check", gate.config, check=False)
    assert check.returncode == 1 and "policy.tests[0]" in check.stderr
    start = gate.host.run(*gate.command, "--config", gate.config, check=False)
    assert start.returncode == 1 and "no rule allows it" in start.stdout + start.stderr
