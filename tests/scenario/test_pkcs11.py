# SPDX-License-Identifier: Apache-2.0
"""Keys that never leave a token (PKCS#11): those of nodes and of the CA. The token is SoftHSM's, spoken to by OpenSSL's provider;
where one of them is missing (Debian 12 has no such provider), there is nothing to test. tests/debian13.sh has both."""

import shutil
from pathlib import Path

import pytest

from lib.host import run, wait_for
from lib.node import binary
from lib.pki import write
from lib.traffic import Probes

PROVIDERS = list(Path("/usr/lib").glob("*/ossl-modules/pkcs11.so"))
MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "271828"

pytestmark = pytest.mark.skipif(not PROVIDERS or not MODULE.exists() or not shutil.which("softhsm2-util"),
                                reason="pkcs11-provider or softhsm2 is not installed")


class Token:
    """A token of the test's own."""

    def __init__(self, directory, monkeypatch):
        self.directory, self.pin = directory, directory / "pin"
        (directory / "tokens").mkdir(parents=True)
        self.pin.write_text(PIN)
        self.pin.chmod(0o600)
        configuration = directory / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {directory}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
        monkeypatch.setenv("PKCS11_PROVIDER_MODULE", str(MODULE))
        run("softhsm2-util", "--init-token", "--free", "--label", "test", "--so-pin", PIN, "--pin", PIN)
        self.objects = 0

    def take(self, path):
        """Takes a private key into the token; the file is gone then. Its URI."""
        self.objects += 1
        label = f"key-{self.objects}"
        run("softhsm2-util", "--import", path, "--token", "test", "--label", label, "--id", f"{self.objects:02x}", "--pin", PIN)
        Path(path).unlink()
        return f"pkcs11:token=test;object={label}"

    def place(self, path):
        """The same with the place of the PIN."""
        return f"{self.take(path)}?pin-source=file:{self.pin}"


@pytest.fixture
def token(world, monkeypatch):
    return Token(world.directory / "token", monkeypatch)


def in_token(world, token, node):
    """Moves the key of a node into the token. Another certificate for that key."""
    prefix = node.credential.prefix
    other = prefix.with_name("other")
    shutil.copy(node.credential.key, f"{other}.key")
    world.pki.issue(other, node.identity.split("/", 3)[3], "--reuse-key")
    other.with_name("other.key").unlink()
    node.configure(node={"key": token.place(node.credential.key)})
    return other.with_name("other.crt").read_bytes()


def test_nodes(world, token):
    """Gateway and client with their keys in a token: they come up, prove themselves again, and take another certificate."""
    world.gate = world.gateway(gateway={"reauth_within": 1})
    world.alice = world.client("alice", world.gate)
    others = {node: in_token(world, token, node) for node in (world.gate, world.alice)}
    world.start(world.gate, world.alice)
    session = world.alice.session()["id"]
    with Probes((world.alice.host, world.alice.inner()), (world.gate.host, world.gate.inner())) as probes:
        for _ in range(5):
            before = world.alice.session()["renewals"]
            world.alice.mutun("reauth")
            wait_for("another proof", lambda before=before: world.alice.session()["renewals"] > before)
        for node, certificate in others.items():
            mark = node.mark()
            write(node.credential.certificate, certificate)
            node.wait_log("certificate of this node renewed", since=mark)
            wait_for("a proof with it", lambda node=node: int(node.status()["certificate"]["serial"], 16) == node.credential.serial())
    probes.expect_no_loss()
    assert world.alice.session()["id"] == session
    assert world.alice.status()["renewal"]["source"] == "files"


@pytest.mark.parametrize("fault, words", [("pin", "no private key could be had|passphrase or PIN"), ("object", "no private key could be had"),
                                          ("key", "does not belong to the certificate")])
def test_faults(world, token, fault, words):
    """What is wrong with the token is said at start, without its PIN."""
    gate = world.gateway()
    path = gate.credential.key
    if fault == "key":
        path = world.pki.stage("gateway/other").key
    place = token.place(path)
    if fault == "pin":
        token.pin.write_text("314159")
    if fault == "object":
        place = place.replace("object=", "object=no-")
    gate.configure(node={"key": place})
    gate.start(wait=False)
    gate.wait_exit("any")
    line = gate.wait_log(words)
    assert "pkcs11:token=test;object=" in line and "pin" not in line.replace("PIN", ""), line
    assert PIN not in gate.log()


def test_authority(world, token):
    """The issuing key in a token: it issues, publishes its list of revocations, and renews by a gateway that serves it."""
    key, directory = token.directory / "issuing.pem", world.directory / "ca2"
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    secret = ("--passphrase-file", token.pin)
    run(binary("mutun"), "ca", "init", directory, "--domain", world.pki.domain, "--issuing-key-uri", token.take(key), *secret)
    assert not list(directory.glob("issuing*.key"))
    world.pki.directory, world.pki.trust = directory, directory / "trust.crt"
    world.gate = world.gateway(issue=secret, gateway={"ca": directory, "ca_passphrase": token.pin})
    world.alice = world.client("alice", world.gate, issue=secret, renewal={
        "url": f"https://{world.gate.host.outer4}", "identity": world.pki.identity("gateway/*")})
    world.start(world.gate, world.alice)
    before = world.alice.credential.serial()
    world.alice.ask("renew", "--now")
    assert world.alice.credential.serial() != before
    wait_for("the end of the probation", lambda: not world.alice.status()["renewal"]["previous"])
    run(binary("mutun"), "ca", "revoke", directory, "--identity", "laptop/alice", *secret)
    world.gate.wait_log("laptop/alice.* ends: .*was revoked")
    run(binary("mutun"), "ca", "crl", directory, "--out", world.directory / "ca2.crl", *secret)
