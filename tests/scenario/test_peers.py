# SPDX-License-Identifier: Apache-2.0
"""From client to client through a gateway whose kernel forwards nothing: the short way, judged like everything else."""

import re
import subprocess

import pytest

from lib.host import Failed
from lib.traffic import PYTHON, iperf
from lib.world import World

# Connects, says so, and reports how the connection ends.
TALK = """
import socket, sys
end = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
print("connected", flush=True)
try:
    while True:
        end.sendall(b"x")
        if not end.recv(1):
            break
        import time; time.sleep(0.02)
    print("closed", flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
"""
ECHO = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family)
end, peer = server.accept()
while data := end.recv(100):
    end.sendall(data)
"""
TRY = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
    print("connected")
except OSError as error:
    print(type(error).__name__)
"""


def rules(*ports):
    return {"groups": {"alice": ["spiffe://corp.example/laptop/alice"], "bob": ["spiffe://corp.example/laptop/bob"]},
            "rules": [{"from": ["group:alice"], "to": ["group:bob"],
                       "allow": ["icmp/echo-request", *(f"tcp/{port}" for port in ports)]}]}


@pytest.fixture(scope="module")
def peers():
    with World() as world:
        world.gate = world.gateway(policy=rules(5201, 7000))
        world.gate.host.sysctl("net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
        world.alice, world.bob = (world.client(name, world.gate) for name in ("alice", "bob"))
        world.start(world.gate, world.alice, world.bob)
        yield world


def attempt(peers, source, target, port, inner=4):
    return source.host.run(PYTHON, "-c", TRY, target.inner(inner), port).stdout.strip()


@pytest.mark.parametrize("inner", [4, 6])
def test_what_a_rule_allows_passes(peers, inner):
    peers.alice.host.ping(peers.bob.inner(inner), count=20)
    peers.alice.host.ping(peers.bob.inner(inner), count=2, size=4000)
    for options in ([], ["-R"]):
        assert iperf(peers.bob.host, peers.bob.inner(inner), peers.alice.host, *options, seconds=1) > 10e6


@pytest.mark.parametrize("inner", [4, 6])
def test_what_none_allows_is_refused(peers, inner):
    assert attempt(peers, peers.alice, peers.bob, 22, inner) == "ConnectionRefusedError"
    assert attempt(peers, peers.bob, peers.alice, 5201, inner) == "ConnectionRefusedError"
    with pytest.raises(Failed):
        peers.bob.host.ping(peers.alice.inner(inner), count=1, wait=1)


def test_the_gateway_is_a_hop(peers):
    done = peers.alice.host.run("ping", "-n", "-c", 1, "-t", 1, "-W", 2, peers.bob.inner(4), check=False)
    assert re.search("[Tt]ime to live exceeded", done.stdout), done.stdout


def test_a_reload_cuts_what_it_forbids_at_once(peers):
    target = peers.bob.inner(4)
    echo = peers.bob.host.start(PYTHON, "-c", ECHO, target, 7000)
    peers.bob.host.wait_listening(7000)
    talk = peers.alice.host.start(PYTHON, "-c", TALK, target, 7000, stdout=subprocess.PIPE, text=True)
    assert talk.stdout.readline() == "connected\n"
    peers.gate.configure(policy=rules(5201))
    peers.gate.mutun("reload")
    assert talk.stdout.readline() == "ConnectionResetError\n"
    assert attempt(peers, peers.alice, peers.bob, 7000) == "ConnectionRefusedError"
    peers.alice.host.ping(target, count=5)
    echo.kill()
