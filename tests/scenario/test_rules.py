# SPDX-License-Identifier: Apache-2.0
"""The policy of a gateway and of a client as a whole: what holds without one, what a reload makes of it, what ends by itself, which
policies are not taken, and what is said of all that."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

import pytest
from lib.host import SLOW, wait_for
from lib.traffic import Probes
from lib.world import World

PING = ["icmp/echo-request"]
LATER_S = 5
RELOADS = int(os.environ.get("MUTUN_RELOADS", "20"))  # 1,000 by hand

# Sends what it gets back to where it came from.
ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(100)
    s.sendto(data, peer)
"""
# One flow: a datagram for each line that comes in, and whether it came back.
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], int(sys.argv[2])))
s.settimeout(float(sys.argv[3]))
for number in sys.stdin:
    try:
        s.send(number.encode())
        while s.recv(100) != number.encode():
            pass
        print("yes", flush=True)
    except OSError:  # nothing came, or the sender was told that he may not
        print("no", flush=True)
"""


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
    # A word for peers means whom the link leads to; other peers of the gateway are not known here, which is said.
    alice.configure(policy={"inbound": [rule("spiffe://corp.example/laptop/bob", "any")]})
    said = alice.mutun("policy", "check", alice.config).stderr
    assert "no link leads to spiffe://corp.example/laptop/bob" in said, said
    alice.reload()
    assert answered(gate.host, alice.inner()) == 0
    alice.configure(policy={"inbound": [rule(gate.identity, "any")]})
    alice.reload()
    assert answered(gate.host, alice.inner()) == 2
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


def test_behind_a_router(world):
    """A router that says nothing of what may come in answers pings itself, and lets none begin towards what is behind it."""
    gate = world.gateway(gateway={"sites": world.sites(("berlin", 30))})
    berlin = world.site("berlin", gate, 30, policy=None)
    world.start(gate, berlin)
    assert answered(gate.host, berlin.inner()) == 2 and answered(gate.host, berlin.inner(6)) == 2
    assert answered(gate.host, berlin.lan.inner4) == 0 and answered(gate.host, berlin.lan.inner6) == 0
    assert answered(berlin.lan, gate.inner()) == 2
    said = gate.mutun("policy", "explain", "--from", gate.inner(), "--to", berlin.lan.inner4, "icmp/echo-request", check=False)
    assert "no rule allows it" in said.stdout, said
    words = ("policy", "explain", "--from", gate.identity, "icmp", "--to")
    assert "to: this node itself" in berlin.mutun(*words, berlin.inner()).stdout
    said = berlin.mutun(*words, berlin.lan.inner4, check=False)
    assert said.returncode == 1 and "but not to there" in said.stdout, said
    berlin.configure(policy={"inbound": [rule("any", "10.30.0.0/24")]})
    lines = [json.loads(line) for line in berlin.mutun("reload", "--plan", "--json").stdout.splitlines()]
    reach = {(line["reach"]["to"], line["reach"]["lost"] != "") for line in lines if "reach" in line}
    assert ("this node itself", True) in reach and ("10.30.0.0/24", False) in reach, reach
    berlin.reload()
    assert answered(gate.host, berlin.lan.inner4) == 2 and answered(gate.host, berlin.inner()) == 0


def test_a_thousand_reloads(pair):
    """While rules change again and again: what stays allowed loses nothing, and of what is not, not one packet passes after the
    reload, on a flow that was there before."""
    gate, alice = pair.gate, pair.alice
    stays = [rule(alice.identity, "self", ["udp/20000-29999"]), rule("self", alice.identity, ["udp/20000-29999"])]
    wide = stays + [rule(alice.identity, "self", ["udp/7"], name="echo")]
    gate.configure(policy={"rules": wide})
    gate.reload()
    alice.configure(policy={"inbound": [rule("any", "any", ["any"])]})
    alice.reload()
    echo = gate.host.start(sys.executable, "-c", ECHO, gate.inner(), 7, stdout=subprocess.PIPE, text=True)
    assert echo.stdout.readline() == "ready\n"
    flow = alice.host.start(sys.executable, "-c", ASK, gate.inner(), 7, SLOW, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def comes_back(number):
        flow.stdin.write(f"{number}\n")
        flow.stdin.flush()
        return flow.stdout.readline() == "yes\n"

    with Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
        for number in range(RELOADS):
            open_now = number % 2 == 1
            gate.configure(policy={"rules": wide if open_now else stays})
            gate.reload()
            if open_now:
                wait_for("the flow that is allowed again", lambda: comes_back(number))
            else:
                assert not comes_back(number), f"reload {number} forbade this"
    probes.expect_no_loss()


def asked(node, command):
    """A connection over which the daemon is asked, without a process for the question."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(node.socket))
    connection.sendall(json.dumps({"command": command}).encode() + b"\n")
    return connection


def answer_of(connection):
    with connection:
        return json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))


def many_rules(count, port):
    return [rule(f"spiffe://corp.example/laptop/l{number % 997}", f"10.{64 + number // 250}.{number % 250}.0/24", [f"tcp/{port}"])
            for number in range(count)]


def test_a_large_reload_keeps_nobody_waiting(pair):
    """While 10,000 rules are read, tried and made into a filter, the daemon answers, and no packet is lost; a second command is
    refused, a signal is seen to afterwards."""
    gate, alice = pair.gate, pair.alice
    stays = [rule(alice.identity, "self", ["udp"]), rule("self", alice.identity, ["udp"])]
    gate.configure(policy={"rules": stays})
    gate.reload()
    alice.configure(policy={"inbound": [rule("any", "any", ["any"])]})
    alice.reload()
    with Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
        for port in (22, 443):
            gate.configure(policy={"rules": stays + many_rules(10000, port)})
            mark, waits, digests = gate.mark(), [], []
            begun = time.monotonic()
            reload = asked(gate, "reload")
            while not select.select([reload], [], [], 0)[0]:
                since = time.monotonic()
                digests.append(answer_of(asked(gate, "status"))["result"]["policy"]["digest"])
                waits.append(time.monotonic() - since)
                if len(digests) == 3:
                    second = answer_of(asked(gate, "reload"))
                    assert second["ok"] or "another reload is under way" in second["error"], second
                    gate.signal(signal.SIGHUP)
            took = time.monotonic() - begun
            assert answer_of(reload) == {"ok": True, "result": {}}
            print(f"reload {took:.3f} s, {len(waits)} answers meanwhile, the slowest after {max(waits) * 1000:.1f} ms")
            assert len(waits) >= 10 and digests[0] != gate.status()["policy"]["digest"]
            assert max(waits) < took / 2, f"{max(waits)} s of {took} s"
            wait_for("the reload after it", lambda: gate.log(mark).count("configuration reloaded") >= 2, 60)
    probes.expect_no_loss()
