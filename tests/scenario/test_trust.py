# SPDX-License-Identifier: Apache-2.0
"""Whom a node believes, beyond the chain: pinned keys, names of foreign PKIs, OCSP answers, and a bundle that changes."""

import datetime
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from lib.foreign import dial
from lib.host import Failed, run, wait_for
from lib.node import binary
from lib.pki import Authority, Credential, write
from lib.traffic import Probes

PEM = serialization.Encoding.PEM
STRANGE = ["sha256/" + "A" * 43 + "=", "00" * 31 + "ff"]


def pins_of(path):
    """What `mutun pin` prints of a file, first word of each line."""
    return [line.split()[0] for line in run(binary("mutun"), "pin", path).stdout.splitlines()]


def spare(directory):
    """A key that has no certificate yet."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = directory / "spare.key"
    write(path, key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()), 0o600)
    return path


def wait_error(node, *words):
    """Until the link of a node says why it is not up."""
    def told():
        error = node.link()["last_error"]
        return error if error and all(word in error for word in words) else None
    try:
        return wait_for(f"an error with {words} at {node}", told, 15)
    except Failed as failed:
        raise Failed(f"{failed}\n{node.link()}\n{node.tail(15)}") from None


def settle(probes):
    probes.stop()
    probes.expect_no_loss(at_least=100)


class TestPins:
    def test_wrong_then_right(self, world):
        """A client that pins other keys does not come up and says why; the gateway's key, as backup, brings it up."""
        gate = world.gateway()
        alice = world.client("alice", gate, node={"pins": [{"identity": world.pki.identity("gateway/*"),
                                                             "keys": STRANGE}]})
        own = pins_of(gate.credential.certificate)[0]
        gate.start()
        alice.start()
        error = wait_error(alice, "has a key that is not pinned", "nor is one above it", "one of the 2 keys for")
        assert own in error and world.pki.identity("gateway/gateway") in error
        assert own in alice.mutun("status").stdout and not alice.sessions()
        alice.configure(node={"pins": [{"identity": world.pki.identity("gateway/*"), "keys": [STRANGE[0], own]}]})
        alice.reload()
        alice.wait_up()
        alice.host.ping(gate.inner())

    def test_live_session(self, world):
        """Pins that a reload brings are asked of live sessions, too; the CA's key will do for all below it."""
        gate = world.gateway(gateway={"reauth_within": 1})
        alice = world.client("alice", gate)
        world.start(gate, alice)
        issuing = pins_of(world.pki.directory / "issuing.crt")[0]
        who = world.pki.identity("laptop/*")
        with Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
            session = gate.session()["id"]
            gate.configure(node={"pins": [{"identity": who, "keys": [issuing, STRANGE[0]]}]})
            gate.reload()
            wait_for("a renewal", lambda: gate.session()["renewals"] >= 1, 40)
            settle(probes)
        assert gate.session()["id"] == session
        gate.configure(node={"pins": [{"identity": who, "keys": STRANGE}]})
        gate.reload()
        wait_for("the end of the session", lambda: not gate.sessions(), 5)
        wait_error(alice, "refused our certificate")
        gate.wait_log(f"session {alice.identity} .* ends: certificate of {alice.identity} has a key that is not pinned")
        assert not alice.sessions()

    def test_spare_key(self, world):
        """The day on which the spare key is needed: its pin was there before."""
        gate = world.gateway(gateway={"reauth_within": 1})
        path = spare(world.directory)
        pins = [pins_of(gate.credential.certificate)[0], pins_of(path)[0]]
        alice = world.client("alice", gate, node={"pins": [{"identity": world.pki.identity("gateway/*"), "keys": pins}]})
        world.start(gate, alice)
        prefix = world.directory / "spare"
        run(binary("mutun"), "ca", "issue", world.pki.directory, "--identity", "gateway/gateway", "--out", prefix,
            "--reuse-key")
        gate.credential.put(Credential(prefix, gate.identity))
        wait_for("the spare key in use", lambda: alice.session()["renewals"] >= 1, 40)
        assert pins_of(gate.credential.certificate)[0] == pins[1]
        alice.host.ping(gate.inner())


def foreign_leaf(authority, prefix, names):
    """A certificate as a corporate CA issues it: DNS and e-mail names, no URI, signed by the same CA."""
    credential = authority.forge("unused", names=names)
    wanted = Credential(prefix, None)
    wanted.put(credential)
    return wanted


class TestNames:
    def test_mapped_client_and_gateway(self, world):
        """Neither end has a URI name; both know each other by rules, and the gateway itself by its own."""
        names = [{"dns": "*.hosts.corp.example", "identity": "spiffe://corp.example/gateway/$1"},
                 {"email": "*@corp.example", "identity": "spiffe://corp.example/laptop/$1"}]
        one = foreign_leaf(world.pki, world.directory / "one", [x509.DNSName("vpn.hosts.corp.example"),
                                                                 x509.DNSName("vpn.example.org")])
        other = foreign_leaf(world.pki, world.directory / "other", [x509.RFC822Name("alice@CORP.example")])
        gate = world.gateway(credential=one, node={"names": names})
        alice = world.client("alice", gate, credential=other, node={"names": names})
        world.start(gate, alice)
        assert gate.status()["identity"] == "spiffe://corp.example/gateway/vpn"
        assert alice.status()["identity"] == "spiffe://corp.example/laptop/alice"
        assert gate.session()["identity"] == "spiffe://corp.example/laptop/alice"
        assert alice.session()["identity"] == "spiffe://corp.example/gateway/vpn"
        assert "spiffe://corp.example/laptop/alice" in gate.mutun("sessions").stdout
        alice.host.ping(gate.inner())
        # Without the rule, it is nobody.
        gate.configure(node={"names": names[:1]})
        gate.reload()
        wait_for("the end of the session", lambda: not gate.sessions(), 5)
        assert "has no URI name, and no rule for any of its 1 other names" in gate.log()

    def test_other_domain(self, world):
        """A mesh with a CA of its own: its DNS names become identities of its trust domain, and never of ours."""
        mesh = Authority(binary("mutun"), world.directory / "mesh", "linkerd.example")
        rule = {"dns": "*.*.serviceaccount.identity.linkerd.cluster.local",
                "identity": "spiffe://linkerd.example/ns/$2/sa/$1"}
        ours = {"dns": "*.hosts.corp.example", "identity": "spiffe://corp.example/laptop/$1"}
        gate = world.gateway(gateway={"admit": ["spiffe://corp.example/**", "spiffe://linkerd.example/ns/prod/**"]},
                             node={"names": [ours],
                                   "federation": [{"domain": "linkerd.example", "trust": mesh.trust, "names": [rule]}]})
        web = foreign_leaf(mesh, world.directory / "web",
                           [x509.DNSName("web.prod.serviceaccount.identity.linkerd.cluster.local")])
        forged = foreign_leaf(mesh, world.directory / "forged", [x509.DNSName("alice.hosts.corp.example")])
        client = world.client("web", gate, credential=web)
        client.configure(node={"names": [rule], "trust": mesh.trust,
                               "federation": [{"domain": "corp.example", "trust": world.pki.trust}]})
        world.start(gate, client)
        assert gate.session()["identity"] == "spiffe://linkerd.example/ns/prod/sa/web"
        client.host.ping(gate.inner())
        mark = gate.mark()
        text = dial(client.host, f"{gate.host.outer4}:443", forged)
        assert "unknown ca" in text
        gate.wait_log("laptop/alice is signed by an unknown CA.*trust domain corp.example", since=mark)
        assert len(gate.sessions()) == 1


def answer(authority, credential, status="good", seconds=600, by=None):
    """DER of an OCSP answer by the CA that issued a credential, or by another one."""
    issuer = x509.load_pem_x509_certificate((authority.directory / "issuing.crt").read_bytes())
    responder = x509.load_pem_x509_certificate(((by or authority).directory / "issuing.crt").read_bytes())
    key = serialization.load_pem_private_key(((by or authority).directory / "issuing.key").read_bytes(), None)
    leaf = x509.load_pem_x509_certificate(credential.certificate.read_bytes())
    now = datetime.datetime.utcnow()
    revoked = status == "revoked"
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=leaf, issuer=issuer, algorithm=hashes.SHA1(), cert_status=getattr(ocsp.OCSPCertStatus, status.upper()),
        this_update=now - datetime.timedelta(seconds=60), next_update=now + datetime.timedelta(seconds=seconds),
        revocation_time=now - datetime.timedelta(seconds=30) if revoked else None,
        revocation_reason=x509.ReasonFlags.key_compromise if revoked else None)
    signed = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, responder).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def ocsp_of(node):
    found = node.session()["certificate"]["ocsp"]
    return found and found["state"]


class TestStaples:
    @pytest.fixture
    def pair(self, world):
        """A gateway and a client that each require an answer of the other, and have none yet."""
        world.files = world.directory / "ocsp"
        world.files.mkdir()
        world.gate = world.gateway(node={"require_staple": True, "staple": world.files / "gate.der"},
                                   gateway={"reauth_within": 1})
        world.alice = world.client("alice", world.gate,
                                   node={"require_staple": True, "staple": world.files / "alice.der"})
        return world

    def put(self, pair, node, name, status="good", **options):
        write(pair.files / name, answer(pair.pki, node.credential, status, **options))

    def test_files_in_both_directions(self, pair):
        gate, alice = pair.gate, pair.alice
        gate.start()
        alice.start()
        wait_error(alice, "brought no OCSP answer about its certificate", "set node.staple or node.responder")
        assert "ocsp_problem" in gate.status()["certificate"] and gate.status()["certificate"]["ocsp_problem"]
        self.put(pair, gate, "gate.der")
        wait_for("the gateway's answer", lambda: gate.status()["certificate"]["ocsp"], 10)
        mark = gate.mark()
        gate.wait_log(f"refused: {alice.identity} brought no OCSP answer", since=0, seconds=20)
        self.put(pair, alice, "alice.der")
        alice.wait_up(30)
        assert ocsp_of(gate) == "good" and ocsp_of(alice) == "good"
        assert "OCSP: good, for another" in alice.mutun("status").stdout
        text = dial(alice.host, f"{gate.host.outer4}:443", alice.credential, "mutun/1", "-status", seconds=1)
        assert "OCSP Response Status: successful" in text and "Cert Status: good" in text
        # New answers cost nothing.
        with Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
            for node, name in ((gate, "gate.der"), (alice, "alice.der"), (gate, "gate.der")):
                renewed = alice.renewals()
                time.sleep(1.1)  # another second in the answer
                self.put(pair, node, name, seconds=700)
                wait_for("a renewal", lambda: alice.renewals() > renewed, 20)
            settle(probes)
        # An answer by somebody else, and one that says nothing, change nothing.
        session = gate.session()["id"]
        other = Authority(binary("mutun"), pair.directory / "other", pair.pki.domain)
        write(pair.files / "alice.der", answer(pair.pki, alice.credential, by=other))
        wait_for("the problem", lambda: alice.status()["certificate"]["ocsp_problem"], 10)
        assert "is not signed by the issuer" in alice.status()["certificate"]["ocsp_problem"]
        assert gate.session()["id"] == session and ocsp_of(gate) == "good"
        # Revoked: the session is cut, and it does not come back.
        self.put(pair, alice, "alice.der", "revoked")
        gate.wait_log(f"certificate of {alice.identity} was revoked .*says its OCSP answer \\(keyCompromise\\)")
        wait_for("the end of the session", lambda: not gate.sessions(), 10)
        wait_error(alice, "was revoked")
        assert alice.host.ping(gate.inner(), count=1, check=False) == 0
        # A new certificate, and an answer about it, heal that.
        pair.pki.issue(alice.credential.prefix, "laptop/alice")
        self.put(pair, alice, "alice.der")
        alice.wait_up(40)
        # The same for the gateway, as the client sees it.
        self.put(pair, gate, "gate.der", "revoked")
        wait_for("the end of the session", lambda: not alice.sessions(), 10)
        wait_error(alice, "gateway/gateway was revoked")

    def test_stolen(self, pair):
        """Who has an old pair of alice's, and says himself that it is revoked, gets nowhere and does not end her session."""
        gate, alice = pair.gate, pair.alice
        thief = pair.client("thief", gate, node={"staple": pair.files / "thief.der"})
        pair.pki.issue(thief.credential.prefix, "laptop/alice")
        self.put(pair, thief, "thief.der", "revoked")
        self.put(pair, gate, "gate.der")
        self.put(pair, alice, "alice.der")
        gate.start()
        alice.start()
        alice.wait_up(30)
        session = gate.session()["id"]
        thief.start()
        gate.wait_log(f"refused: certificate of {alice.identity} was revoked")
        wait_error(thief, "was revoked")
        assert gate.session()["id"] == session
        assert alice.host.ping(gate.inner(), count=1) == 1

    def test_responder(self, world):
        """Both ask `openssl ocsp` about themselves; what is not required is let in, and "revoked" is heeded all the same."""
        pki = world.pki
        gate = world.gateway(node={"responder": "http://127.0.0.1:8080/"}, gateway={"reauth_within": 1})
        alice = world.client("alice", gate, node={"responder": "http://127.0.0.1:8080"})
        index, log = world.directory / "index.txt", world.directory / "ocsp.log"
        trusted = world.directory / "issuing.crt"
        trusted.write_bytes((pki.directory / "issuing.crt").read_bytes())

        def publish(revoked=()):
            lines = []
            for node in (gate, alice):
                leaf = x509.load_pem_x509_certificate(node.credential.certificate.read_bytes())
                serial = f"{leaf.serial_number:X}"
                serial = "0" * (len(serial) % 2) + serial
                end = leaf.not_valid_after.strftime("%y%m%d%H%M%SZ")
                since = datetime.datetime.utcnow().strftime("%y%m%d%H%M%SZ")
                lines.append(f"R\t{end}\t{since},keyCompromise\t{serial}\tunknown\t/CN={node}\n" if node in revoked
                             else f"V\t{end}\t\t{serial}\tunknown\t/CN={node}\n")
            index.write_text("".join(lines))

        def responder(host):
            with log.open("ab") as file:
                process = host.start("openssl", "ocsp", "-port", "8080", "-index", index, "-CA", trusted, "-rsigner",
                                     trusted, "-rkey", pki.directory / "issuing.key", "-nmin", "1", stdout=file,
                                     stderr=file)
            try:
                host.wait_listening(8080)
            except Failed as failed:
                raise Failed(f"{failed}\n{log.read_text()}") from None
            return process

        publish()
        processes = [responder(node.host) for node in (gate, alice)]
        world.start(gate, alice)
        wait_for("good answers on both sides", lambda: ocsp_of(gate) == "good" and ocsp_of(alice) == "good", 30)
        assert alice.status()["certificate"]["ocsp"]["state"] == "good"
        publish(revoked=[alice])
        processes[1].kill()
        processes[1].wait()
        processes.append(responder(alice.host))
        gate.wait_log(f"certificate of {alice.identity} was revoked", seconds=60)
        wait_for("the end of the session", lambda: not gate.sessions(), 10)
        for process in processes:
            process.kill()
            process.wait()


def test_bundle_swap_under_probes(world):
    """From one CA to another while a third party's sessions go on: who is good under the new bundle loses nothing; who rests on
    the CA that left is cut."""
    new = Authority(binary("mutun"), world.directory / "ca2", world.pki.domain)
    gate = world.gateway(gateway={"reauth_within": 1})
    alice, bob = world.client("alice", gate), world.client("bob", gate)
    both = world.pki.trust.read_bytes() + new.trust.read_bytes()
    world.start(gate, alice, bob)
    with Probes((alice.host, alice.inner()), (gate.host, gate.inner())) as probes:
        for node in (gate, alice, bob):
            write(node.trust, both)
        wait_for("both CAs in use", lambda: all(node.status()["trust"]["certificates"] == 2 for node in (gate, alice, bob)))
        for node, path in ((gate, "gateway/gateway"), (alice, "laptop/alice")):
            serial = new.issue(node.credential.prefix, path).serial()
            peer = alice if node is gate else gate
            wait_for(f"the new certificate of {node}", lambda: int(peer.session(
                node.identity)["certificate"]["serial"].replace(":", ""), 16) == serial, 30)
        write(gate.trust, new.trust.read_bytes())  # bob still rests on the old one
        wait_for("the end of bob's session", lambda: len(gate.sessions()) == 1, 10)
        wait_error(bob, " CA")  # "unknown", or by the next try: "it does not know the CA"
        write(alice.trust, new.trust.read_bytes())
        wait_for("one CA at alice", lambda: alice.status()["trust"]["certificates"] == 1)
        renewed = alice.renewals()
        gate.mutun("reauth")
        wait_for("a renewal", lambda: alice.renewals() > renewed, 20)
        settle(probes)
    assert gate.session()["identity"] == alice.identity
    assert bob.host.ping(gate.inner(), count=1, check=False) == 0
