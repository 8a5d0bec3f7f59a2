# SPDX-License-Identifier: Apache-2.0
"""Answers to "why?": the audit log of who had a session, what was refused and who changed something."""

import json
import os

import pytest

from lib.host import run, wait_for
from lib.node import binary


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
