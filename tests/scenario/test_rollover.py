# SPDX-License-Identifier: Apache-2.0
"""The root of the CA is replaced under traffic, step by step, while one node sleeps through half of it."""

import json
import signal

import pytest
from cryptography import x509

from lib.device import Device, token
from lib.host import Failed, wait_for
from lib.traffic import Probes

LIFE_S = 60  # of every leaf


def certificates(path):
    end = b"-----END CERTIFICATE-----\n"
    return [x509.load_pem_x509_certificate(part + end) for part in path.read_bytes().split(end)[:-1]
            if b"-----BEGIN CERTIFICATE-----" in part]


def names(path):
    """The subjects' common names of a file; None for a leaf."""
    found = []
    for certificate in certificates(path):
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        found.append(common[0].value if common else None)
    return found


@pytest.fixture
def four(world):
    """A gateway that serves the CA, and three laptops that renew there."""
    world.gate = world.gateway(gateway={"reauth_within": 1, "ca": world.pki.directory}, issue=("--seconds", LIFE_S))
    renewal = {"url": f"https://{world.gate.host.outer4}", "identity": world.pki.identity("gateway/*")}
    for name in ("alice", "bob", "carol"):
        setattr(world, name, world.client(name, world.gate, issue=("--seconds", LIFE_S), renewal=renewal))
    world.start(world.gate, world.alice, world.bob, world.carol)
    return world


def rotate(world, *words, check=True):
    return world.gate.mutun("ca", "rotate", world.pki.directory, *words, check=check)


def stranded(world):
    found = world.gate.ask("ca", "rotate", world.pki.directory, "status")["stranded"]
    return sorted(node["identity"].rsplit("/", 1)[1] for node in found)


def wait_trust(node, count, seconds=20):
    wait_for(f"{count} certificates in the trust of {node}", lambda: node.status()["trust"]["certificates"] == count, seconds)


def gateway_serial(node):
    return int(node.session()["certificate"]["serial"].replace(":", ""), 16)


def probes(world, node):
    return Probes((node.host, node.inner()), (world.gate.host, world.gate.inner()))


def test_root(four):
    world, gate, alice, bob, carol = four, four.gate, four.alice, four.bob, four.carol
    sessions = alice.session()["id"], bob.session()["id"]
    with probes(world, alice) as first, probes(world, bob) as second:
        carol.signal(signal.SIGSTOP)

        # Both roots reach the gateway by its renewal, and from its READY the laptops learn that there is something to fetch.
        rotate(world, "prepare")
        gate.mutun("renew", "--now")
        for node in (gate, alice, bob):
            wait_trust(node, 2)
        assert names(alice.trust) == ["root CA", "root CA 2"]

        # Only the sleeper is in the way.
        wait_for("all but carol to say that they trust the new root", lambda: stranded(world) == ["carol"], 15)
        refused = rotate(world, "activate", check=False)
        assert refused.returncode == 1 and "1 node would be stranded" in refused.stderr
        assert f"{carol.identity}: did not trust the new root when it was heard" in refused.stderr
        found = json.loads(gate.mutun("ca", "readiness", world.pki.directory, "--json").stdout)["certificates"]
        assert [entry["name"].split(",")[0] for entry in found] == ["CN=root CA", "CN=root CA 2"]
        assert [node["identity"] for node in found[1]["lacking"]] == [carol.identity] and not found[1]["unseen"]
        done = json.loads(rotate(world, "activate", "--force", "--json").stdout)
        assert [node["identity"] for node in done["stranded"]] == [carol.identity]

        # The gateway shows a certificate below the new root, which the sleeper does not know yet. It wakes, and believes it.
        gate.mutun("renew", "--now")
        assert names(gate.credential.certificate) == [None, "issuing CA 2", "root CA 2"]
        for node in (alice, bob):
            wait_for(f"the gateway's new certificate at {node}", lambda node=node: gateway_serial(node) == gate.credential.serial())
        assert names(carol.trust) == ["root CA"]
        carol.signal(signal.SIGCONT)
        wait_for("the gateway's new certificate at carol", lambda: gateway_serial(carol) == gate.credential.serial(), 20)
        wait_trust(carol, 2)

        # The old root goes when nobody needs it, and not before.
        refused = rotate(world, "finish", check=False)
        assert refused.returncode == 1 and "its certificate below the old root is valid for" in refused.stderr
        wait_for("the end of all certificates below the old root", lambda: stranded(world) == [], LIFE_S + 20, 0.5)
        rotate(world, "finish")
        for node in (gate, alice, bob, carol):
            node.mutun("renew", "--now")
            wait_trust(node, 1)
    first.expect_no_loss(at_least=10000)
    second.expect_no_loss(at_least=10000)
    assert (alice.session()["id"], bob.session()["id"]) == sessions

    # Nobody chains to the old root any more.
    for node in (gate, alice, bob, carol):
        assert names(node.trust) == ["root CA 2"]
        assert names(node.credential.certificate) == [None, "issuing CA 2"]
    carol.host.ping(gate.inner())
    with pytest.raises(Failed, match="finished"):
        rotate(world, "abort")


def test_joining_in_between(world):
    """A device joins while the gateway still has a certificate of before: it gets one below the new root, and trusts both."""
    world.gate = world.gateway(gateway={"reauth_within": 1, "ca": world.pki.directory})
    world.gate.start()
    dave = Device(world, "dave")
    early = token(world, "laptop/dave")
    rotate(world, "prepare")
    rotate(world, "activate", "--force")
    late = token(world, "laptop/dave")
    assert names(world.gate.credential.certificate) == [None, "issuing CA"]
    dave.join(late)
    assert names(dave.trust) == ["root CA", "root CA 2"]
    assert names(dave.credential.certificate) == [None, "issuing CA 2", "root CA 2"]
    dave.up()
    dave.stop()
    erin = Device(world, "erin")
    world.gate.mutun("renew", "--now")
    erin.refused(early, "is for .*/dave", "--identity", "laptop/erin")
    erin.join(token(world, "laptop/erin"))
    erin.up()


def test_issuing(four):
    """What signs leaves is replaced; nobody notices, and the next renewal is by the new one."""
    world, alice = four, four.alice
    with probes(world, alice) as sent:
        rotate(world, "issuing")
        alice.mutun("renew", "--now")
        wait_for("the new certificate at the gateway", lambda: int(
            world.gate.session(identity=alice.identity)["certificate"]["serial"], 16) == alice.credential.serial())
        assert names(alice.credential.certificate) == [None, "issuing CA 2"]
    sent.expect_no_loss()
