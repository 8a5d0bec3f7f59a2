# SPDX-License-Identifier: Apache-2.0
"""Renewal: new certificates, keys and trust come as files, and no packet is lost for it."""

import calendar
import os
import re
import shutil
import time

import pytest

from cryptography import x509

from lib.host import Failed, wait_for
from lib.pki import Authority, Credential, write
from lib.node import binary
from lib.traffic import Download, Probes

RENEWALS = int(os.environ.get("MUTUN_RENEWALS", "15"))  # one a second, which is as fast as a link proves itself (LINK_SPACING_MS)


@pytest.fixture
def pair(world):
    world.gate = world.gateway(gateway={"reauth_within": 1})
    world.alice = world.client("alice", world.gate)
    world.start(world.gate, world.alice)
    return world


def inner_probes(world):
    return Probes((world.alice.host, world.alice.inner()), (world.gate.host, world.gate.inner()))


def wait_renewals(node, count, seconds=10, **which):
    """Waits until a node's session has been renewed so often; returns the session."""
    def renewed():
        session = node.session(**which)
        return session if session["renewals"] >= count else None
    try:
        return wait_for(f"renewal {count} of the session at {node}", renewed, seconds)
    except Failed as failed:
        raise Failed(f"{failed}\n{node.tail()}") from None


def expect_none_lost(*nodes):
    """By the daemons' own count, once the old keys have drained."""
    for node in nodes:
        wait_for(f"the account of the last renewal at {node}",
                 lambda: node.session()["last_renewal"]["lost_packets"] is not None, 15)
        assert node.session()["last_renewal"]["lost_packets"] == 0


def peer_serial(node):
    return int(node.session()["certificate"]["serial"].replace(":", ""), 16)


def test_many_in_a_row(pair):
    """New certificates and keys for the client, one after another, under 1,000 probes a second each way and one TCP download."""
    session = pair.alice.session()["id"]
    with Download(pair.gate.host, pair.gate.inner(), pair.alice.host) as download, inner_probes(pair) as probes:
        for count in range(1, RENEWALS + 1):
            pair.pki.issue(pair.alice.credential.prefix, "laptop/alice")
            wait_renewals(pair.alice, count)
        probes.stop()
        download.finish()
    probes.expect_no_loss(at_least=1000)
    assert download.got["bytes"] > 1000000
    assert peer_serial(pair.gate) == pair.alice.credential.serial(), "the gateway knows an older certificate"
    assert pair.alice.session()["id"] == session and pair.gate.session()["id"] == session
    assert pair.alice.session()["epoch"] >= RENEWALS + 1 and pair.alice.session()["renewals_lost_packets"] == 0
    expect_none_lost(pair.alice, pair.gate)
    drops = pair.alice.session()["drops"] | pair.gate.session()["drops"]
    assert not {"replay", "tag", "epoch", "index", "keys"} & set(drops), f"packets were dropped: {drops}"


def test_same_key(pair):
    before = pair.alice.credential.spki()
    with inner_probes(pair) as probes:
        pair.pki.issue(pair.alice.credential.prefix, "laptop/alice", "--reuse-key")
        wait_renewals(pair.alice, 1)
    probes.expect_no_loss()
    assert pair.alice.credential.spki() == before
    assert peer_serial(pair.gate) == pair.alice.credential.serial()
    expect_none_lost(pair.alice, pair.gate)


def test_gateway_certificate(pair):
    """The gateway asks its peers to prove themselves, and itself, again."""
    with inner_probes(pair) as probes:
        for count in (1, 2, 3):
            pair.pki.issue(pair.gate.credential.prefix, "gateway/gateway")
            wait_renewals(pair.alice, count)
    probes.expect_no_loss()
    assert peer_serial(pair.alice) == pair.gate.credential.serial()
    expect_none_lost(pair.alice, pair.gate)


def test_both_at_once(pair):
    with inner_probes(pair) as probes:
        for count in (1, 2, 3, 4, 5):
            mine, theirs = pair.pki.stage("laptop/alice"), pair.pki.stage("gateway/gateway")
            pair.alice.credential.put(mine)
            pair.gate.credential.put(theirs)
            wait_for(f"both new certificates in use, round {count}",
                     lambda: peer_serial(pair.alice) == theirs.serial() and peer_serial(pair.gate) == mine.serial())
    probes.expect_no_loss()
    expect_none_lost(pair.alice, pair.gate)


def test_trust_bundle(pair):
    """From one CA to another in the order that an administrator takes: trust both, re-issue, forget the old one."""
    new = Authority(binary("mutun"), pair.directory / "ca2", pair.pki.domain)
    both = pair.pki.trust.read_bytes() + new.trust.read_bytes()
    session = pair.alice.session()["id"]
    nodes = pair.gate, pair.alice
    with inner_probes(pair) as probes:
        for node in nodes:
            write(node.trust, both)
        for node in nodes:
            wait_for(f"two certificates in the trust of {node}", lambda: node.status()["trust"]["certificates"] == 2)
        new.issue(pair.gate.credential.prefix, "gateway/gateway")
        wait_for("the gateway's certificate of the new CA",
                 lambda: peer_serial(pair.alice) == pair.gate.credential.serial())
        new.issue(pair.alice.credential.prefix, "laptop/alice")
        wait_for("the client's certificate of the new CA",
                 lambda: peer_serial(pair.gate) == pair.alice.credential.serial())
        renewed = pair.alice.renewals()
        for node in nodes:
            write(node.trust, new.trust.read_bytes())
        for node in nodes:
            wait_for(f"one certificate in the trust of {node}", lambda: node.status()["trust"]["certificates"] == 1)
        wait_renewals(pair.alice, renewed + 1)
        time.sleep(1.5)
    probes.expect_no_loss()
    assert pair.alice.session()["id"] == session
    expect_none_lost(pair.alice, pair.gate)


def test_trust_withdrawn(pair):
    """A CA that is no longer trusted ends the sessions that rest on it, with a reason."""
    new = Authority(binary("mutun"), pair.directory / "ca2", pair.pki.domain)
    both = pair.pki.trust.read_bytes() + new.trust.read_bytes()
    for node in (pair.gate, pair.alice):
        write(node.trust, both)
    new.issue(pair.gate.credential.prefix, "gateway/gateway")
    wait_for("the gateway's certificate of the new CA", lambda: peer_serial(pair.alice) == pair.gate.credential.serial())
    write(pair.gate.trust, new.trust.read_bytes())  # alice still has a certificate of the old one
    wait_for("the end of the session", lambda: not pair.gate.sessions())
    wait_for("the reason at the client", lambda: pair.alice.link()["last_error"])
    assert pair.alice.host.ping(pair.gate.inner(), count=1, check=False) == 0
    new.issue(pair.alice.credential.prefix, "laptop/alice")
    pair.alice.wait_up(15)
    pair.alice.host.ping(pair.gate.inner())


def test_trust_withdrawn_at_the_client(pair):
    """The other way round: the client no longer believes the CA of its gateway, and says why."""
    new = Authority(binary("mutun"), pair.directory / "ca2", pair.pki.domain)
    for node in (pair.gate, pair.alice):
        write(node.trust, pair.pki.trust.read_bytes() + new.trust.read_bytes())
    new.issue(pair.alice.credential.prefix, "laptop/alice")
    wait_for("the client's certificate of the new CA", lambda: peer_serial(pair.gate) == pair.alice.credential.serial())
    mark = pair.alice.mark()
    write(pair.alice.trust, new.trust.read_bytes())  # the gateway still has a certificate of the old one
    pair.alice.wait_log("gateway/gateway is signed by an unknown CA", since=mark)
    wait_for("the end of the session at both ends", lambda: not pair.alice.sessions() and not pair.gate.sessions())
    assert pair.alice.host.ping(pair.gate.inner(), count=1, check=False) == 0
    new.issue(pair.gate.credential.prefix, "gateway/gateway")
    pair.alice.wait_up(15)
    pair.alice.host.ping(pair.gate.inner())


def mismatch(pair):
    one, other = pair.pki.stage("laptop/alice"), pair.pki.stage("laptop/alice")
    write(pair.alice.credential.key, one.key.read_bytes(), 0o600)
    write(pair.alice.credential.certificate, other.certificate.read_bytes())


def expired(pair):
    pair.alice.credential.put(pair.pki.forge("laptop/alice", not_before=-7200, not_after=-3600))


def not_yet_valid(pair):
    pair.alice.credential.put(pair.pki.forge("laptop/alice", not_before=3600, not_after=7200))


def other_identity(pair):
    pair.alice.credential.put(pair.pki.stage("laptop/mallory"))


def truncated(pair):
    staged = pair.pki.stage("laptop/alice")
    write(pair.alice.credential.key, staged.key.read_bytes(), 0o600)
    whole = staged.certificate.read_bytes()
    write(pair.alice.credential.certificate, whole[:len(whole) // 4])


def half_written(pair):
    """A writer that is slow, and writes in place."""
    staged = pair.pki.stage("laptop/alice")
    write(pair.alice.credential.key, staged.key.read_bytes(), 0o600)
    whole = staged.certificate.read_bytes()
    with pair.alice.credential.certificate.open("wb") as file:
        file.write(whole[:200])
        file.flush()
        os.fsync(file.fileno())


def empty(pair):
    pair.alice.credential.certificate.write_bytes(b"")


def removed(pair):
    pair.alice.credential.key.unlink()


@pytest.mark.parametrize("spoil, words", [
    (mismatch, r"key.*(match|fit|belong)|(match|fit|belong).*key"),
    (expired, r"expired"),
    (not_yet_valid, r"not (yet )?valid|valid (from|in|until)"),
    (other_identity, r"identity|mallory"),
    (truncated, r"PEM|read|certificate|key"),
    (half_written, r"PEM|read|certificate|key"),
    (empty, r"PEM|read|empty|certificate"),
    (removed, r"No such file|not there|missing|exist"),
], ids=lambda value: getattr(value, "__name__", ""))
def test_bad_set_is_refused(pair, spoil, words):
    """A bad set is refused with a sentence; the old one stays in use; a good one then heals it."""
    old = pair.alice.credential.serial()
    epoch = pair.alice.session()["epoch"]
    mark = pair.alice.mark()
    with inner_probes(pair) as probes:
        spoil(pair)
        problem = wait_for("the problem in status", lambda: pair.alice.status()["certificate"]["problem"])
        pair.alice.wait_log(words, since=mark)
        assert peer_serial(pair.gate) == old and pair.alice.session()["epoch"] == epoch
        assert int(pair.alice.status()["certificate"]["serial"].replace(":", ""), 16) == old
        pair.pki.issue(pair.alice.credential.prefix, "laptop/alice")
        wait_renewals(pair.alice, 1)
    probes.expect_no_loss()
    assert re.search(words, problem), f"the sentence is: {problem}"
    assert pair.alice.status()["certificate"]["problem"] is None
    assert peer_serial(pair.gate) == pair.alice.credential.serial()


def test_bad_trust_is_refused(pair):
    whole = pair.alice.trust.read_bytes()
    with inner_probes(pair) as probes:
        write(pair.alice.trust, whole[:100])
        wait_for("the problem in status", lambda: pair.alice.status()["trust"]["problem"])
        write(pair.alice.trust, whole)
        wait_for("no problem in status", lambda: pair.alice.status()["trust"]["problem"] is None)
    probes.expect_no_loss()
    assert pair.alice.session()["id"] == pair.gate.session()["id"]


def test_completed_in_place(pair):
    """A file written in place in three pieces, half a second apart, is used once it is whole."""
    staged = pair.pki.stage("laptop/alice")
    whole = staged.certificate.read_bytes()
    with inner_probes(pair) as probes:
        pair.alice.credential.key.write_bytes(staged.key.read_bytes())
        third = len(whole) // 3
        with pair.alice.credential.certificate.open("wb") as file:
            for start in (0, third, 2 * third):
                file.write(whole[start:start + third] if start < 2 * third else whole[start:])
                file.flush()
                time.sleep(0.5)
        wait_renewals(pair.alice, 1)
    probes.expect_no_loss()
    assert peer_serial(pair.gate) == staged.serial()


def test_three_files_one_after_another(pair):
    """Key, certificate, trust, with pauses between: whatever the order, the set is used when it is whole."""
    staged = pair.pki.stage("laptop/alice")
    trust = pair.pki.trust.read_bytes()
    with inner_probes(pair) as probes:
        write(pair.alice.credential.key, staged.key.read_bytes(), 0o600)
        time.sleep(0.4)
        write(pair.alice.credential.certificate, staged.certificate.read_bytes())
        time.sleep(0.4)
        write(pair.alice.trust, trust + b"\n")
        wait_for("the new certificate at the gateway", lambda: peer_serial(pair.gate) == staged.serial())
        time.sleep(1)
        staged = pair.pki.stage("laptop/alice")
        write(pair.alice.credential.certificate, staged.certificate.read_bytes())
        time.sleep(0.4)
        write(pair.alice.credential.key, staged.key.read_bytes(), 0o600)
        wait_for("the next certificate at the gateway", lambda: peer_serial(pair.gate) == staged.serial())
    probes.expect_no_loss()
    assert pair.alice.status()["certificate"]["problem"] is None


def test_symlink_swap(world):
    """As Kubernetes does with a mounted secret: node.crt -> ..data/node.crt, ..data -> ..1, and ..data is replaced."""
    volume = world.directory / "volume"
    volume.mkdir()

    def publish(number):
        staged = world.pki.stage("laptop/alice")
        folder = volume / f"..{number}"
        folder.mkdir()
        shutil.copy(staged.certificate, folder / "node.crt")
        shutil.copy(staged.key, folder / "node.key")
        (volume / "..data_tmp").symlink_to(folder.name)
        os.replace(volume / "..data_tmp", volume / "..data")
        if number > 1:
            shutil.rmtree(volume / f"..{number - 1}")
        return staged

    publish(1)
    for name in ("node.crt", "node.key"):
        (volume / name).symlink_to(f"..data/{name}")
    credential = Credential(volume / "node", world.pki.identity("laptop/alice"))
    world.gate = world.gateway()
    world.alice = world.client("alice", world.gate, credential=credential)
    world.start(world.gate, world.alice)
    with inner_probes(world) as probes:
        for number in (2, 3, 4):
            staged = publish(number)
            wait_renewals(world.alice, number - 1)
            assert peer_serial(world.gate) == staged.serial()
    probes.expect_no_loss()
    expect_none_lost(world.alice, world.gate)


def test_expiry_ends_the_session(world):
    """Nothing renewed: the session ends when the certificate does, on both sides, and a new certificate brings it back."""
    lifetime = 8
    world.gate = world.gateway()
    short = world.pki.forge("laptop/alice", not_after=lifetime)
    end = x509.load_pem_x509_certificate(short.certificate.read_bytes()).not_valid_after
    world.alice = world.client("alice", world.gate, credential=short)
    world.start(world.gate, world.alice)
    world.alice.host.ping(world.gate.inner())
    wait_for("the end of the session at the gateway", lambda: not world.gate.sessions(), lifetime + 5)
    late = time.time() - calendar.timegm(end.utctimetuple())
    assert -0.1 <= late < 2, f"the session ended {late:.1f} s after the certificate"
    wait_for("the end of the session at the client", lambda: not world.alice.sessions(), 3)
    assert world.alice.host.ping(world.gate.inner(), count=1, check=False) == 0
    assert "expired" in world.alice.log() and "expired" in world.gate.log()
    world.pki.issue(world.alice.credential.prefix, "laptop/alice")
    world.alice.wait_up(15)
    world.alice.host.ping(world.gate.inner())
