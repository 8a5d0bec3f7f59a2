# SPDX-License-Identifier: Apache-2.0
"""The renewal agent: certificates that look after themselves."""

import os
import re
import time

import pytest

from lib.host import Failed, wait_for
from lib.traffic import Probes


def inner_probes(world):
    return Probes((world.alice.host, world.alice.inner()), (world.gate.host, world.gate.inner()))


@pytest.fixture
def pair(world):
    """A gateway that serves the CA, and a laptop that renews there."""
    world.gate = world.gateway(gateway={"reauth_within": 1, "ca": world.pki.directory})
    world.alice = world.client("alice", world.gate, issue=("--seconds", "60"), renewal={
        "url": f"https://{world.gate.host.outer4}", "identity": world.pki.identity("gateway/*")})
    world.start(world.gate, world.alice)
    return world


def renewal(node):
    return node.status()["renewal"]


def test_now(pair):
    """mutun renew --now, at the laptop and at the gateway, which signs for itself; and what is said before and after."""
    assert re.match(r"renews in \d+ s, expires in (59 s|1 min)\nfrom https://", pair.alice.mutun("renew").stdout)
    assert renewal(pair.gate)["source"] == "ca"
    with inner_probes(pair) as probes:
        for node in (pair.alice, pair.gate):
            key, serial = node.credential.spki(), node.credential.serial()
            done = node.ask("renew", "--now")
            assert int(done["certificate"]["serial"], 16) == node.credential.serial() != serial
            assert node.credential.spki() != key, "the key is an old one"
            assert done["renewal"]["failures"] == 0 and not done["renewal"]["busy"]
            wait_for("the end of the probation", lambda node=node: not renewal(node)["previous"])
            assert not node.credential.certificate.with_name("node.crt.previous").exists()
    probes.expect_no_loss()
    assert abs(renewal(pair.alice)["skew_s"]) <= 2


def test_files(world):
    """Files that somebody else renews: the agent tells how long they last, and leaves them alone."""
    world.gate = world.gateway()
    world.gate.start()
    found = renewal(world.gate)
    assert found["source"] == "files" and found["alarm"] == "fine" and found["at"] is None
    assert "expires in" in found["words"] and str(world.gate.credential.certificate) in found["words"]
    done = world.gate.mutun("renew", "--now", check=False)
    assert done.returncode == 1 and "renewal.url" in done.stderr
    world.gate.credential.put(world.pki.forge("gateway/gateway", not_before=-3600, not_after=600))
    world.gate.wait_log(r"warning: .*less than a quarter of its life is left, it expires in .*nobody has put a new one")
