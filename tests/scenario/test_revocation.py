# SPDX-License-Identifier: Apache-2.0
"""Revocation: `mutun ca revoke` on the CA cuts live sessions within a second, wherever they are, and what was cut stays out."""

import hashlib
import re
import time

import pytest

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from lib.foreign import Hesitant
from lib.host import SLOW, run, wait_for
from lib.node import binary
from lib.pki import Authority, write
from lib.stamp import Stamp
from lib.traffic import Probes

WITHIN = 1.0


def revoke(world, *words):
    """Returns when it was published, in seconds of time.monotonic()."""
    run(binary("mutun"), "ca", "revoke", world.pki.directory, *words)
    return time.monotonic()


def reinstate(world, *words):
    run(binary("mutun"), "ca", "reinstate", world.pki.directory, *words)


def serial_of(credential):
    return f"{credential.serial():040x}"


def key_of(credential):
    return hashlib.sha256(credential.spki()).hexdigest()


@pytest.fixture
def office(world):
    """A gateway that serves the CA, and two clients."""
    world.gate = world.gateway(gateway={"ca": str(world.pki.directory)})
    world.alice = world.client("alice", world.gate)
    world.bob = world.client("bob", world.gate)
    world.start(world.gate, world.alice, world.bob)
    return world


def stays_out(node, seconds=2):
    """The node tries to come back and is refused each time."""
    mark = node.mark()
    node.wait_log("revoked", since=mark, seconds=10)
    time.sleep(seconds)
    assert node.sessions() == []
    assert node.link()["state"] != "up"


@pytest.mark.parametrize("what", ["serial", "key", "identity"])
def test_cut(office, what):
    """One of two clients is cut; the other loses nothing."""
    alice = office.alice
    word = {"serial": serial_of(alice.credential), "key": key_of(alice.credential), "identity": "laptop/alice"}[what]
    with Probes((office.bob.host, office.bob.inner()), (office.gate.host, office.gate.inner())) as others:
        with Stamp(alice.host, office.gate.host, office.gate.inner()) as stamp:
            published = revoke(office, f"--{what}", word)
            wait_for("the end of the session", lambda: len(office.gate.sessions()) == 1)
        others.expect_no_loss(at_least=100)
    print(f"last accepted packet {stamp.last - published:.3f} s after mutun ca revoke --{what} had returned")
    assert stamp.count > 0 and stamp.last - published < WITHIN * SLOW
    office.gate.wait_log("laptop/alice.* ends: .*was revoked")
    wait_for("no session at alice", lambda: alice.sessions() == [])
    stays_out(alice)
    # It knows why, and does not take that for a new certificate that is no good.
    certificate = alice.status()["certificate"]
    assert re.search("was revoked.*whoever runs the CA", certificate["disbelieved"]) and certificate["problem"] is None, certificate
    assert "NOT BELIEVED by peers any more: " in alice.mutun("status").stdout
    if what == "serial":
        return
    reinstate(office, f"--{what}", word)
    alice.wait_up(40)
    assert alice.status()["certificate"]["disbelieved"] is None


@pytest.mark.parametrize("what", ["serial", "identity"])
@pytest.mark.parametrize("point", ["certificate", "hello"])
def test_in_the_middle(office, point, what):
    """Revoked while its handshake is under way, or done but for HELLO: it does not get in by what was true when it began. Another one
    who was as slow does."""
    gate, target = office.gate, f"{office.gate.host.outer4}:443"
    stranger = office.attach(office.add_host("stranger"))
    hello = {"type": "HELLO", "protocol": 1, "software": "x", "host": "x", "index": 7, "ciphers": ["aes-256-gcm"], "lanes": 1,
             "mtu": 1420}
    bob, dave = office.bob.credential, office.pki.stage("laptop/dave")
    slow = [Hesitant(stranger, target, credential, point) for credential in (bob, dave)]
    revoke(office, f"--{what}", serial_of(bob) if what == "serial" else "laptop/bob")
    wait_for("the end of bob's session", lambda: len(gate.sessions()) == 1)
    answers = [one.go_on(**hello) for one in slow]
    assert '"BYE"' in answers[0] and "revoked" in answers[0], answers
    assert '"READY"' in answers[1], answers
    assert all("bob" not in session["identity"] for session in gate.sessions())
    gate.wait_log(f"{stranger.outer4}.* refused: .*revoked")


def far_office(world, messenger):
    """Two gateways, of which only the first serves the CA; alice is at the second. `messenger`: what they have in common, a client
    of both or a link from one to the other."""
    world.gate = world.gateway(gateway={"ca": str(world.pki.directory)})
    pools = {"pools": ["10.91.0.0/16", "fd91::/64"]}
    if messenger == "link":
        world.far = world.gateway("far", gateway=pools, links=[world.link("hq", world.gate)])
    else:
        world.far = world.gateway("far", gateway=pools)
        world.carol = world.client("carol", world.gate, links=[world.link("one", world.gate), world.link("two", world.far)])
    world.alice = world.client("alice", world.far)
    world.bob = world.client("bob", world.far)
    world.start(*world.nodes)
    return world


def known(node):
    lists = node.status()["revocation"]["denials"]
    return lists[0]["number"] if lists else 0


@pytest.mark.parametrize("messenger", ["client", "link"])
def test_far_gateway(world, messenger):
    """What one gateway learns, the other knows at once, by whatever channels there are."""
    far_office(world, messenger)
    alice, far = world.alice, world.far
    inner = "10.91.0.1"
    with Probes((world.bob.host, world.bob.inner()), (far.host, inner)) as others:
        with Stamp(alice.host, far.host, inner) as stamp:
            published = revoke(world, "--identity", "laptop/alice", "--reason", "privilegeWithdrawn")
            far.wait_log("laptop/alice.* ends: .*privilegeWithdrawn")
        others.expect_no_loss(at_least=100)
    print(f"last accepted packet at the other gateway, by a {messenger}: {stamp.last - published:.3f} s after publication")
    assert stamp.last - published < WITHIN * SLOW
    wait_for("everybody to know", lambda: all(known(node) == 1 for node in (world.gate, far, world.bob)))
    stays_out(alice)
    # It does not get in at the other one either.
    alice.configure(links=[world.link("hq", world.gate)])
    alice.reload()
    stays_out(alice)
    reinstate(world, "--identity", "laptop/alice")
    alice.wait_up(40)
    wait_for("everybody to know that", lambda: all(known(node) == 2 for node in (world.gate, far, alice, world.bob)))


def issuing_key(world):
    certificate = x509.load_pem_x509_certificate((world.pki.directory / "issuing.crt").read_bytes())
    der = certificate.public_key().public_bytes(serialization.Encoding.DER,
                                                serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def test_issuing_ca(office):
    """With its key, everything that an issuing CA signed goes; the root signs that."""
    gate = office.gate
    with Stamp(office.alice.host, gate.host, gate.inner()) as one, Stamp(office.bob.host, gate.host, gate.inner()) as two:
        published = revoke(office, "--key", issuing_key(office), "--reason", "cACompromise")
        wait_for("the end of all sessions", lambda: gate.sessions() == [])
    last = max(one.last, two.last) - published
    print(f"last accepted packet {last:.3f} s after the issuing CA was revoked")
    assert last < WITHIN * SLOW
    gate.wait_log("peers will not believe this node any more: .*cACompromise")
    wait_for("no session anywhere", lambda: office.alice.sessions() + office.bob.sessions() == [])
    stays_out(office.alice)


def test_gateway(world):
    """A revoked gateway is left, and its clients go to the next one."""
    world.gate = world.gateway(gateway={"ca": str(world.pki.directory)})
    world.far = world.gateway("far", gateway={"pools": ["10.91.0.0/16"]}, links=[world.link("hq", world.gate)])
    world.alice = world.client("alice", [world.far, world.gate])
    world.start(*world.nodes)
    alice, far = world.alice, world.far
    assert alice.session()["identity"] == far.credential.identity
    with Stamp(far.host, alice.host, alice.inner()) as stamp:
        published = revoke(world, "--identity", "gateway/far")
        wait_for("no session with it", lambda: all(session["identity"] != far.credential.identity for session in alice.sessions()))
    print(f"last packet of the revoked gateway accepted {stamp.last - published:.3f} s after publication")
    assert stamp.last - published < WITHIN * SLOW
    alice.wait_up(40)
    assert alice.session()["identity"] == world.gate.credential.identity
    wait_for("no session of it at the other gateway",
             lambda: [session["identity"] for session in world.gate.sessions()] == [alice.credential.identity])


def test_kept(world):
    """What was learnt outlives kill -9, without anybody who tells it again; a file that is rolled back changes nothing."""
    copy = world.directory / "denials"
    world.far = world.gateway("far", revocation={"denials": str(copy)})
    world.alice = world.client("alice", world.far)
    world.bob = world.client("bob", world.far)
    world.start(*world.nodes)
    far = world.far
    revoke(world, "--identity", "laptop/carol")
    write(copy, (world.pki.directory / "denials").read_bytes())
    wait_for("the first revocation", lambda: known(far) == 1)
    old = copy.read_bytes()
    revoke(world, "--identity", "laptop/alice")
    write(copy, (world.pki.directory / "denials").read_bytes())
    far.wait_log("laptop/alice.* ends: .*was revoked")
    wait_for("a copy", lambda: (far.directory / "state" / "denials-corp.example").read_bytes().count(b"\n") == 4)
    far.kill()
    write(copy, old)
    far.start()
    assert known(far) == 2
    world.bob.wait_up(40)
    stays_out(world.alice)
    # Whatever is put there: damaged, of another CA, or nothing.
    other = Authority(binary("mutun"), world.directory / "other", world.pki.domain)
    run(binary("mutun"), "ca", "revoke", other.directory, "--identity", "laptop/bob")
    for content in (old[:-20], (other.directory / "denials").read_bytes(), b""):
        write(copy, content)
        wait_for("the problem", lambda: far.status()["revocation"]["problem"])
        assert known(far) == 2
        write(copy, old)
        wait_for("the end of the problem", lambda: far.status()["revocation"]["problem"] is None)
    assert len(far.sessions()) == 1
