# SPDX-License-Identifier: Apache-2.0
"""Answers to "why?": the audit log of who had a session, what was refused and who changed something."""

import json
import os
import subprocess

import pytest

from lib.host import run, wait_for
from lib.node import binary
from lib.traffic import PYTHON


@pytest.fixture
def duo(world):
    """A gateway and a client, both with an audit log."""
    world.gate = world.gateway(gateway={"ca": world.pki.directory})
    world.alice = world.client("alice", world.gate)
    for node in (world.gate, world.alice):
        node.audit = node.directory / "audit.jsonl"
        node.configure(audit={"file": node.audit, "keep": 2, "sample": 1})
    world.start(world.gate, world.alice)
    return world


def records(node, event=None):
    if not node.audit.exists():
        return []
    found = [json.loads(line) for line in node.audit.read_text().splitlines()]
    return [record for record in found if event in (None, record["event"])]


def wait_record(node, event, **members):
    def find():
        return next((record for record in records(node, event)
                     if all(record.get(key) == value for key, value in members.items())), None)
    return wait_for(f"a record {event} {members} at {node}", find)


def test_audit(duo):
    """Sessions, acts and who did them; renamed from outside; the file's mode; a directory that is missing for a while."""
    begun = wait_record(duo.gate, "session-begun", identity=duo.alice.identity)
    assert begun["node"] == duo.gate.identity and duo.alice.inner() in begun["addresses"], begun
    assert int(begun["serial"].replace(":", ""), 16) == duo.alice.credential.serial(), begun
    assert len(begun["spki"]) == 64 and "CN=" in begun["issuer"], begun
    assert wait_record(duo.alice, "session-begun", identity=duo.gate.identity)["role"] == "gateway"
    assert duo.gate.audit.stat().st_mode & 0o777 == 0o600

    duo.bob = duo.client("bob", duo.gate)
    duo.start(duo.bob)
    wait_record(duo.gate, "session-begun", identity=duo.bob.identity)
    run(binary("mutun"), "ca", "revoke", duo.pki.directory, "--identity", "laptop/bob")
    cut = wait_record(duo.gate, "session-cut", identity=duo.bob.identity)
    assert cut["code"] == "revoked" and "revoked" in cut["reason"] and cut["serial"] and cut["issuer"], cut

    duo.alice.stop()
    assert wait_record(duo.gate, "session-over", code="shutdown")["session"] == begun["session"]
    duo.alice.start()
    duo.alice.wait_up()
    begun = wait_for("another session", lambda: (
        [one for one in records(duo.gate, "session-begun") if one["identity"] == duo.alice.identity] + [None] * 2)[1])

    duo.gate.mutun("disconnect", duo.alice.identity)
    over = wait_record(duo.gate, "session-over", code="disconnected")
    assert over["identity"] == duo.alice.identity and over["session"] == begun["session"] and over["received_bytes"] >= 0, over
    act = wait_record(duo.gate, "act", command="disconnect")
    assert act["whom"] == duo.alice.identity and act["uid"] == os.getuid() and act["pid"] > 0 and act["result"] == "done", act
    assert wait_record(duo.alice, "session-over", code="disconnected")["reason"] == over["reason"]

    loaded = records(duo.gate, "policy")[0]
    assert loaded["result"] == "loaded" and len(loaded["digest"]) == 64 and loaded["rules"] >= 1, loaded
    good = duo.gate.config.read_text()
    duo.gate.write_config(good.replace("tcp", "tpc").replace('[ "any" ]', '[ "group:nobody" ]'))
    assert duo.gate.mutun("reload", check=False).returncode == 1
    refused = wait_record(duo.gate, "policy", result="refused")
    assert refused["digest"] == loaded["digest"] and refused["reason"], refused
    duo.gate.write_config(good)
    duo.gate.mutun("disconnect", "spiffe://corp.example/nobody", check=False)
    assert "no session" in wait_record(duo.gate, "act", command="disconnect", result="refused")["reason"]

    # What whoever turns logs round does: rename, then reload.
    old = duo.gate.audit.rename(duo.gate.audit.with_suffix(".old"))
    duo.gate.reload()
    wait_record(duo.gate, "act", command="reload")
    assert "reload" not in old.read_text().splitlines()[-1]

    # A place that is not there yet.
    duo.gate.audit = duo.gate.directory / "later" / "audit.jsonl"
    duo.gate.configure(audit={"file": duo.gate.audit})
    duo.gate.reload()
    wait_for("the problem in status", lambda: "No such file" in (duo.gate.status()["audit"]["problem"] or ""))
    duo.gate.audit.parent.mkdir()
    wait_record(duo.gate, "act", command="reload")
    wait_for("an end of the problem", lambda: duo.gate.status()["audit"]["problem"] is None)


class Following:
    """A command that goes on while the block runs; lines() are those that it has printed."""

    def __init__(self, node, *words):
        self.node, self.words, self.path = node, words, node.directory / f"following-{words[0]}"

    def __enter__(self):
        self.file = self.path.open("wb")
        self.process = subprocess.Popen([binary("mutun"), "--socket", self.node.socket, *self.words], stdout=self.file,
                                        stderr=self.file)
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        self.file.close()

    def text(self):
        return self.path.read_text()

    def wait(self, *words):
        """Waits for a line with all these words."""
        return wait_for(f"a line of {self.words} with {words}", lambda: next(
            (line for line in self.text().splitlines() if all(word in line for word in words)), None))


def traces(node):
    return [act for act in records(node, "act") if act["command"] == "trace" and act["result"] == "done"]


class Tracing(Following):
    """A trace that has begun: while another one is not quite over, it is asked for again."""

    def __enter__(self):
        before = len(traces(self.node))
        super().__enter__()

        def begun():
            if len(traces(self.node)) > before:
                return True
            if self.process.poll() is not None:
                super(Tracing, self).__enter__()
            return False
        wait_for("the trace", begun)
        return self


def test_trace(duo):
    """What becomes of packets, while they pass; one at a time; only for root; it ends by itself."""
    with Tracing(duo.gate, "trace", "--from", duo.alice.identity, "--proto", "icmp", "--json") as trace:
        assert duo.gate.mutun("trace", "--for", "1", check=False).returncode == 1
        duo.alice.host.ping(duo.gate.inner())
        line = json.loads(trace.wait('"way":"in"'))
        assert line["from"] == duo.alice.identity and line["verdict"] == "passed" and line["size"] == 84, line
        assert line["stages"] == ["received", "opened", "parsed", "source", "routed", "judged", "sent"], line
        assert line["path"].startswith(duo.alice.host.outer4), line
        back = json.loads(trace.wait('"way":"out"'))
        assert back["to"] == duo.alice.identity and "source" not in back["stages"], back
    wait_for("an end of the trace", lambda: duo.gate.mutun("trace", "--for", "1", check=False).returncode == 0)
    # A source that is not alice's.
    duo.alice.host.ip("addr", "add", "10.77.0.1/32", "dev", "lo")
    with Tracing(duo.gate, "trace", "--from", duo.alice.identity, "--to", duo.gate.inner(), "--count", "1") as trace:
        duo.alice.host.run("ping", "-c", "1", "-W", "1", "-I", "10.77.0.1", duo.gate.inner(), check=False)
        trace.wait("source", "DROPPED: source")
        wait_for("its end", lambda: trace.process.poll() == 0)


@pytest.fixture
def ruled(world):
    """Two clients and a gateway with rules; alice lets ssh in."""
    world.gate = world.gateway(policy={
        "hosts": {"gate": ["10.90.0.1"]},
        "rules": [
            {"name": "ping", "from": ["any"], "to": ["any"], "allow": ["icmp"]},
            {"name": "ssh", "from": [world.pki.identity("laptop/alice")], "to": ["host:gate"], "allow": ["tcp/22"], "log": True},
            {"name": "no mail", "from": ["any"], "to": ["any"], "deny": ["tcp/25"]},
            {"name": "to alice", "from": ["any"], "to": [world.pki.identity("laptop/alice")], "allow": ["tcp/22", "tcp/80"]},
        ]})
    world.alice = world.client("alice", world.gate, policy={"inbound": [{"name": "my ssh", "from": ["any"], "allow": ["tcp/22"]}]})
    world.bob = world.client("bob", world.gate)
    for node in (world.gate, world.alice):
        node.audit = node.directory / "audit.jsonl"
        node.configure(audit={"file": node.audit, "sample": 1})
    world.start(world.gate, world.alice, world.bob)
    return world


def dial(node, address, port):
    """Tries a TCP connection; whether it came about."""
    script = "import socket, sys; s = socket.socket(); s.settimeout(1); sys.exit(s.connect_ex((sys.argv[1], int(sys.argv[2]))))"
    return node.host.run(PYTHON, "-c", script, address, port, check=False).returncode == 0


def place(node, name):
    """Where a rule begins: the line before its name."""
    lines = node.config.read_text().splitlines()
    return next(f"{node.config.name}:{i}" for i, line in enumerate(lines) if f'name = "{name}"' in line)


def test_refusal_is_told(ruled):
    """Which rule refused it: at the caller's own daemon, at the gateway, in the audit log, to who follows."""
    gate = ruled.gate.inner()
    with Following(ruled.gate, "flows", "--follow", "--denied", "--json") as follow:
        wait_for("a follower", lambda: ruled.gate.log_path.exists() and follow.process.poll() is None)
        for _ in range(3):
            assert not dial(ruled.alice, gate, 25)
        told = wait_for("the refusal at alice", lambda: ruled.alice.link()["refused"])
        wait_for("all of them", lambda: ruled.alice.link()["refused"][0]["count"] >= 3)
        line = json.loads(follow.wait('"port":25'))
        assert line["event"] == "denied" and line["from"] == ruled.alice.identity and line["rule"] == "no mail", line
    refusal = ruled.alice.link()["refused"][0]
    assert refusal["rule"] == "no mail" and refusal["to"] == gate and refusal["port"] == 25, told
    assert refusal["place"].endswith(place(ruled.gate, "no mail")), refusal
    words = f"refused by the gateway: tcp {gate}:25, rule {refusal['place']} \"no mail\", {refusal['count']} times, last "
    assert words in ruled.alice.mutun("status").stdout
    here = ruled.gate.status()["refused"]
    assert [one["from"] for one in here] == [ruled.alice.inner()] and here[0]["rule"] == "no mail", here
    assert f"tcp {gate}:25" in ruled.gate.mutun("flows", "--denied").stdout
    record = wait_record(ruled.gate, "denied", rule="no mail")
    assert record["identity"] == ruled.alice.identity and record["serial"] and record["count"] >= 1, record
    wait_for("every one of them counted", lambda: sum(
        record["count"] for record in records(ruled.gate, "denied") if record["rule"] == "no mail") == refusal["count"])
    # What no rule speaks of.
    assert not dial(ruled.bob, gate, 4444)
    wait_for("the refusal at bob", lambda: ruled.bob.link()["refused"])
    assert ruled.bob.link()["refused"][0]["place"] == "" and "no rule allows it" in ruled.bob.mutun("status").stdout


def test_own_inbound(ruled):
    """What a client's own rules do not let in is told by itself."""
    assert not dial(ruled.bob, ruled.alice.inner(), 80)
    refused = wait_for("the refusal at alice", lambda: ruled.alice.status()["refused"])
    assert refused[0]["from"] == ruled.bob.inner() and refused[0]["port"] == 80, refused
    assert "refused here: tcp" in ruled.alice.mutun("status").stdout
    assert wait_record(ruled.alice, "denied", port=80)["from_address"] == ruled.bob.inner()


def test_flows(ruled):
    """The table, its filters, and what begins; a flow that a rule logs is audited."""
    gate = ruled.gate.inner()
    server = ruled.gate.host.start(PYTHON, "-c", "import socket; s = socket.create_server(('', 22)); c = [s.accept()[0]]; "
                                   "c[0].sendall(b'hello'); c[0].recv(1)")
    ruled.gate.host.wait_listening(22)
    with Following(ruled.gate, "flows", "--follow") as follow:
        client = ruled.alice.host.start(PYTHON, "-c", f"import socket; s = socket.create_connection(('{gate}', 22)); s.recv(9); "
                                        "s.recv(1)")
        follow.wait("begun", ruled.alice.identity, f"tcp {gate}:22", '"ssh"')
    ruled.bob.host.ping(gate)
    flow = wait_for("the flow", lambda: ruled.gate.ask("flows", "--proto", "tcp")["flows"])[0]
    assert flow["from"] == ruled.alice.identity and flow["state"] == "established" and flow["rule"] == "ssh", flow
    assert flow["received_bytes"] > 40 and flow["sent_bytes"] > 40 and flow["place"].endswith(place(ruled.gate, "ssh")), flow
    for words, count in (["--from", ruled.alice.identity, "--port", "22"], 1), (["--from", "spiffe://corp.example/nobody"], 0), \
            (["--to", "10.90.0.0/30", "--proto", "tcp"], 1), (["--proto", "udp"], 0), (["--from", ruled.bob.inner()], 1):
        assert len(ruled.gate.ask("flows", *words)["flows"]) == count, words
    table = ruled.gate.mutun("flows").stdout
    assert ruled.alice.identity in table and "icmp/8/0" in table and '"ssh"' in table, table
    assert "more" in ruled.gate.mutun("flows", "--limit", "1").stdout
    record = wait_record(ruled.gate, "admitted", rule="ssh")
    assert record["identity"] == ruled.alice.identity and record["port"] == 22, record
    assert not records(ruled.gate, "denied")
    for process in (client, server):
        process.kill()
        process.wait()


def test_both_ends_explain(ruled):
    """A laptop asks its gateway what that would let it do; a gateway asks the laptop that a packet goes to."""
    gate, alice = ruled.gate.inner(), ruled.alice.inner()

    def explain(node, to, service, *words):
        done = node.mutun("policy", "explain", *words, "--to", to, service, "--json", check=False)
        answer = json.loads(done.stdout)
        assert (done.returncode == 0) == all(end["allow"] for end in answer["ends"]), done
        return answer["ends"]
    here, other = explain(ruled.alice, gate, "tcp/25")
    assert here["allow"] and other["end"] == ruled.gate.identity and not other["allow"] and other["rule"] == "no mail", other
    assert explain(ruled.alice, gate, "tcp/22")[1]["rule"] == "ssh" and not explain(ruled.bob, gate, "tcp/22")[1]["allow"]
    here, other = explain(ruled.gate, alice, "tcp/80", "--from", ruled.bob.identity)
    assert here["rule"] == "to alice" and other["end"] == ruled.alice.identity and not other["allow"], (here, other)
    here, other = explain(ruled.gate, alice, "tcp/22", "--from", ruled.bob.identity)
    assert here["allow"] and other["allow"] and other["rule"] == "my ssh", (here, other)
    shown = ruled.gate.mutun("policy", "explain", "--from", ruled.bob.identity, "--to", alice, "tcp/80", check=False).stdout
    assert "ALLOWED by rule" in shown and f"at {ruled.alice.identity}: REFUSED: no rule allows it" in shown, shown
    shown = ruled.alice.mutun("policy", "explain", "--to", f"{gate}:25", "--proto", "tcp", check=False).stdout
    assert f"at {ruled.gate.identity}: REFUSED by rule" in shown, shown
