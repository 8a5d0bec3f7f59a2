# SPDX-License-Identifier: Apache-2.0
"""A reload that can be seen before, and one that goes again by itself: `mutun reload --plan`, `--confirm`, `mutun confirm`."""

import json
import shutil
import socket
import subprocess
import threading

import pytest

from lib.host import Failed, wait_for
from lib.node import binary
from lib.traffic import Probes

OPEN = {"rules": [{"from": ["any"], "to": ["any"], "allow": ["any"]}]}
SHUT = {"rules": [{"name": "no ping from bob", "from": ["spiffe://corp.example/laptop/bob"], "to": ["any"], "deny": ["icmp"]}] + OPEN["rules"]}


@pytest.fixture
def trio(world):
    """A gateway and two clients, both with flows to the gateway."""
    world.gate = world.gateway(policy=OPEN)
    world.alice, world.bob = world.client("alice", world.gate), world.client("bob", world.gate)
    world.start(world.gate, world.alice, world.bob)
    return world


def plan_of(node):
    lines = [json.loads(line) for line in node.mutun("reload", "--plan", "--json").stdout.splitlines()]
    return {kind: [line[kind] for line in lines if kind in line] for kind in ("policy", "reach", "session", "link", "flow", "sum")}


def pings(node, gate):
    return node.host.run("ping", "-c1", "-W1", gate.inner(), check=False).returncode == 0


def test_plan(trio):
    """The plan names what goes and what stays, and does nothing; the reload then does just that."""
    gate, alice, bob = trio.gate, trio.alice, trio.bob
    with Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
        assert pings(bob, gate) and pings(alice, gate)
        plan = plan_of(gate)
        assert not plan["policy"][0]["changes"] and not plan["reach"] and not plan["session"] and not plan["link"] and not plan["flow"]
        assert plan["sum"][0]["sessions"] == 2 and plan["sum"][0]["flows"] >= 3

        gate.configure(policy=SHUT, gateway={"admit": ["spiffe://corp.example/laptop/*"], "routes": ["10.20.0.0/24"]})
        plan = plan_of(gate)
        assert plan["policy"][0]["changes"] and plan["policy"][0]["rules"] == [1, 2]
        assert [(one["program"], one["from"], one["gained"]) for one in plan["reach"]] == [
            ("rules", trio.pki.identity("laptop/bob"), "")], plan["reach"]
        assert "icmp" in plan["reach"][0]["lost"] and plan["sum"][0]["reach"] == 1 and plan["sum"][0]["reach_complete"]
        assert {(one["identity"], one["change"]) for one in plan["session"]} == {
            (trio.pki.identity("laptop/alice"), "told"), (trio.pki.identity("laptop/bob"), "told")}
        assert plan["flow"] and all(flow["from"] == trio.pki.identity("laptop/bob") for flow in plan["flow"])
        assert all("no ping from bob" in flow["rule"] for flow in plan["flow"])
        assert plan["sum"][0]["cut"] == len(plan["flow"]) < plan["sum"][0]["flows"]
        text = gate.mutun("reload", "--plan").stdout
        assert "icmp/8" in text or "icmp/echo-request" in text
        assert f"\n- {trio.pki.identity('laptop/bob')} -> " in text
        assert pings(bob, gate), "a plan changes nothing"
        gate.reload()
        assert not pings(bob, gate)

        gate.configure(gateway={"admit": ["spiffe://corp.example/laptop/alice"]})
        assert [(one["identity"], one["change"]) for one in plan_of(gate)["session"]] == [(trio.pki.identity("laptop/bob"), "ends")]
    probes.expect_no_loss()

    gate.configure(interface={"mtu": 1400})
    with pytest.raises(Failed, match="interface.mtu"):
        gate.mutun("reload", "--plan")


def answered(tmp_path, lines, *words):
    """What the tool makes of a daemon that says this and closes the connection."""
    path = tmp_path / "socket"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer():
            with listener.accept()[0] as client:
                client.recv(4096)
                client.sendall("".join(json.dumps(line) + "\n" for line in ({"ok": True, "feed": True}, *lines)).encode())

        thread = threading.Thread(target=answer)
        thread.start()
        done = subprocess.run([binary("mutun"), "--socket", path, *words], capture_output=True, text=True, timeout=20)
        thread.join()
    return done


ANSWERS = {
    "reload --plan": {"link": {"name": "hq", "change": "ends"}},
    "routes": {"prefix": "10.1.0.0/16", "identity": "hq", "standby": False},
    "flows": {"from": "hq", "to_address": "10.1.0.1", "target": "tcp 10.1.0.1:22"},
    "flows --denied": {"from": "hq", "words": "hq: refused"},
    "flows --follow": {"from": "hq", "event": "begun", "target": "tcp 10.1.0.1:22"},
    "trace --count 5": {"from": "hq", "from_address": "10.1.0.1", "stages": [], "read": False},
}


@pytest.mark.parametrize("form", ["--json", ""], ids=["JSON", "text"])
@pytest.mark.parametrize("command", ANSWERS)
def test_half_an_answer(tmp_path, command, form):
    """A daemon that ends, or has no memory left, in the middle of an answer: what is missing is not taken for nothing."""
    words = *command.split(), *form.split()
    done = answered(tmp_path, [ANSWERS[command]], *words)
    assert done.returncode == 1 and "stopped in the middle" in done.stderr, done
    done = answered(tmp_path, [{"lost": 3}, ANSWERS[command], {"complete": True}], *words)
    assert done.returncode == 0 and "hq" in done.stdout and "3 lines are missing" in done.stderr, done


def test_plan_of_links(trio):
    alice = trio.alice
    links = [trio.link("hq", trio.gate, accept=["10.90.0.0/16"]), trio.link("more", trio.gate)]
    alice.configure(links=links)
    assert {(one["name"], one["change"]) for one in plan_of(alice)["link"]} == {("hq", "anew"), ("more", "begins")}
    alice.configure(links=links[1:])
    assert {(one["name"], one["change"]) for one in plan_of(alice)["link"]} == {("hq", "ends"), ("more", "begins")}


def test_not_confirmed(trio):
    """What nobody confirms goes again, and flows that it did not forbid have not noticed."""
    gate, alice, bob = trio.gate, trio.alice, trio.bob
    before = {session["identity"]: session["id"] for session in gate.sessions()}
    with Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
        gate.configure(policy=SHUT)
        mark = gate.mark()
        assert "mutun confirm" in gate.mutun("reload", "--confirm", "4").stdout
        assert not pings(bob, gate)
        assert "NOT CONFIRMED" in gate.mutun("status").stdout
        with pytest.raises(Failed, match="waits to be confirmed"):
            gate.reload()
        gate.wait_log("the one before is in force again", since=mark)
        wait_for("ping as before", lambda: pings(bob, gate))
        assert "NOT CONFIRMED" not in gate.mutun("status").stdout
        with pytest.raises(Failed, match="no configuration waits"):
            gate.mutun("confirm")
        assert plan_of(gate)["policy"][0]["changes"], "the files still have the other one"
    probes.expect_no_loss()
    assert {session["identity"]: session["id"] for session in gate.sessions()} == before


def test_not_had_back(trio):
    """The certificate of the configuration before is gone when nobody has confirmed: it comes back once the file is there again, and
    whoever confirms meanwhile keeps the other one."""
    gate, bob = trio.gate, trio.bob
    first, second = gate.directory / "first.pem", gate.directory / "second.pem"
    shutil.copy(gate.credential.certificate, first)
    shutil.copy(gate.credential.certificate, second)
    gate.configure(node={"certificate": first})
    gate.reload()

    def stuck():
        mark = gate.mark()
        gate.configure(policy=SHUT, node={"certificate": second})
        gate.mutun("reload", "--confirm", "3")
        first.rename(gate.directory / "away.pem")
        line = gate.wait_log("the one before cannot be had back", since=mark)
        assert str(first) in line, line
        status = gate.mutun("status").stdout
        assert "NOT CONFIRMED" in status and "NOT HAD BACK" in status and str(first) in status, status
        with pytest.raises(Failed, match="cannot be had back.*mutun confirm"):
            gate.reload()
        assert not pings(bob, gate)
        return mark

    mark = stuck()
    (gate.directory / "away.pem").rename(first)
    gate.wait_log("the one before is in force again", since=mark, seconds=20)
    wait_for("ping as before", lambda: pings(bob, gate))
    assert "NOT " not in gate.mutun("status").stdout
    stuck()
    gate.mutun("confirm")
    assert "NOT CONFIRMED" not in gate.mutun("status").stdout
    gate.reload()
    assert not pings(bob, gate)


def test_confirmed(trio):
    gate, bob = trio.gate, trio.bob
    gate.configure(policy=SHUT)
    mark = gate.mark()
    gate.mutun("reload", "--confirm", "3")
    gate.mutun("confirm")
    with pytest.raises(Failed):
        gate.wait_log("the one before is in force again", since=mark, seconds=5)
    assert not pings(bob, gate)
    gate.configure(policy={"rules": [{"from": ["group:none"], "to": ["any"], "allow": ["any"]}]})
    with pytest.raises(Failed, match="none"):
        gate.mutun("reload", "--confirm", "3")
    gate.configure(policy=OPEN)
    gate.reload()
    assert pings(bob, gate)
