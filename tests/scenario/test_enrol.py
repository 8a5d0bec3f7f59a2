# SPDX-License-Identifier: Apache-2.0
"""Enrolment: a token on the CA, `mutun join` on the device, EST in between; and everything that goes wrong on the way.

        laptop (alice) ----.
        anybody (eve) ----- internet ---- gateway, which serves the CA"""

import json
import os
import random
import re
import subprocess
import threading
import time

import pytest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lib.host import SLOW, run, wait_for
from lib.node import Node, binary
from lib.other_est import OtherEst
from lib.pki import Authority, Credential

KILLS = int(os.environ.get("MUTUN_KILLS", "12"))
PATH = "/.well-known/est"


class Device(Node):
    """A node whose files are all written by `mutun join`."""

    def __init__(self, world, name):
        self.world = world
        self.state = world.directory / f"state-{name}"
        credential = Credential(self.state / "node", world.pki.identity(f"laptop/{name}"))
        credential.certificate = credential.key = self.state / "node.pem"
        host = world.attach(world.add_host(name))
        directory = world.directory / f"{name}-joined"
        directory.mkdir()
        super().__init__(host, directory, credential, self.state / "trust.crt")
        self.sources = 0

    def configure(self, **settings):
        """Not ours to write."""

    def words(self, token, *options, server=None):
        return (binary("mutun"), "--socket", self.socket, "join", server or token["server"], token["token"], "--state",
                self.state, "--config", self.config, "--no-start", *options)

    def join(self, token, *options, check=True, server=None):
        return self.host.run(*self.words(token, *options, server=server), check=check)

    def refused(self, token, words, *options, server=None):
        """Joining fails with this reason, and leaves nothing that a node would take for its own."""
        done = self.join(token, *options, check=False, server=server)
        assert done.returncode == 1 and not done.stdout, f"{done.stdout}{done.stderr}"
        assert re.search(words, done.stderr), done.stderr
        assert not (self.state / "node.pem").exists() and not self.config.exists()
        assert not list(self.state.glob(".join*")), "a key is left behind that nobody certified"
        return done.stderr

    def up(self):
        text = self.config.read_text()
        if "control" not in text:
            self.write_config(text + f'control: {{ socket = "{self.socket}"; }};\nlog: {{ level = "debug"; }};\n')
        if self not in self.world.nodes:
            self.world.nodes.append(self)
        self.start()
        self.wait_up()

    def fresh_source(self):
        """Another address from now on: a gateway lets one begin five handshakes a second."""
        self.sources += 1
        address = f"10.77.{self.host.number}.{10 + self.sources}"
        self.host.ip("address", "add", f"{address}/24", "dev", "wan")
        self.host.ip("route", "replace", "default", "via", f"10.77.{self.host.number}.254", "src", address)


@pytest.fixture
def place(world):
    world.gate = world.gateway(issue=("--dns", "localhost"), gateway={"ca": str(world.pki.directory)})
    world.gate.start()
    world.alice = Device(world, "alice")
    return world


def token(world, identity="laptop/alice", *options):
    done = run(binary("mutun"), "enrol-token", world.pki.directory, "--identity", identity, "--server",
               f"{world.gate.host.outer4}:443", "--json", *options)
    return json.loads(done.stdout)


def tokens(world):
    done = run(binary("mutun"), "enrol-token", "list", world.pki.directory, "--json")
    return {entry["id"]: entry for entry in json.loads(done.stdout)["tokens"]}


def issued(world, identity="laptop/alice"):
    done = run(binary("mutun"), "ca", "list", world.pki.directory, "--json")
    return [entry for entry in json.loads(done.stdout)["certificates"] if entry["identity"] == world.pki.identity(identity)]


# curl and openssl in a device's place

def request(directory, *names, name="csr"):
    """A key and a request in base64, as a foreign tool makes them. Returns the path of the request."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "some device")]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    csr = builder.sign(key, hashes.SHA256())
    (directory / f"{name}.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (directory / f"{name}.pem").write_bytes(csr.public_bytes(serialization.Encoding.PEM))
    path = directory / f"{name}.b64"
    lines = csr.public_bytes(serialization.Encoding.PEM).decode().splitlines()
    path.write_text("\n".join(lines[1:-1]) + "\n")
    return path


def curl(host, world, operation, *options):
    """Returns status, headers (lower case) and body."""
    done = host.run("curl", "-s", "-S", "-i", "--cacert", world.pki.trust, "--max-time", 10, "--connect-to",
                    f"localhost:443:{world.gate.host.outer4}:443", *options, f"https://localhost{PATH}/{operation}",
                    check=False)
    if done.returncode:
        return 0, done.stderr, ""
    parts = done.stdout.split("\n\n")
    head = [part for part in parts if part.startswith("HTTP/")][-1]
    return int(head.split()[1]), head.lower(), parts[-1]


def post(path):
    return "-H", "Content-Type: application/pkcs10", "--data-binary", f"@{path}"


def leaf(body, directory):
    """The certificate in an answer, as openssl reads it."""
    lines = "\n".join(re.findall(".{1,64}", body.strip()))
    text = f"-----BEGIN PKCS7-----\n{lines}\n-----END PKCS7-----\n"
    pem = run("openssl", "pkcs7", "-print_certs", input=text).stdout
    found = re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", pem, re.S)[0]
    return x509.load_pem_x509_certificate(found.encode())


def uri(certificate):
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


# --- the way it is meant

def test_join(place):
    made = token(place)
    done = json.loads(place.alice.join(made, "--json").stdout)
    assert done["identity"] == place.alice.identity and done["config_state"] == "written" and done["replaced"] is None
    place.alice.up()
    place.alice.host.ping(place.gate.inner())
    entry = tokens(place)[made["id"]]
    assert entry["state"] == "used" and entry["serial"] == done["serial"]
    assert [other["serial"] for other in issued(place)] == [done["serial"]]
    assert (place.alice.state / "node.pem").stat().st_mode & 0o777 == 0o600
    assert not [name for name in os.listdir(place.alice.state) if name.startswith(".")]
    log = place.gate.log()
    assert "enrolled for" in log and made["password"] not in log and made["token"] not in log


def test_token_from_standard_input(place):
    made = token(place, "laptop/alice", "--hours", "2")
    words = [made["token"] if word == "-" else word for word in place.alice.words(made)]
    words = ["-" if word == made["token"] else word for word in words]
    text = place.alice.host.run(*words, input=made["token"] + "\n").stdout
    assert "valid for 2 h" in text or "valid for 1 h" in text, text


def test_tokens_that_are_no_good(place):
    """Replay, theft, other names, revoked, expired: refused with a reason, and the good use still works."""
    alice = place.alice
    eve = Device(place, "eve")
    stolen = token(place)
    eve.refused(stolen, "is for .*alice, not for .*eve", "--identity", "laptop/eve")
    assert tokens(place)[stolen["id"]]["state"] == "open"
    alice.join(stolen)
    eve.refused(stolen, "has been used.*new token")
    revoked, expired = token(place, "laptop/eve"), token(place, "laptop/eve", "--ttl", "1s")
    run(binary("mutun"), "enrol-token", "revoke", place.pki.directory, revoked["id"])
    assert tokens(place)[revoked["id"]]["state"] == "revoked"
    eve.refused(revoked, "was revoked.*new token")
    wait_for("the token to expire", lambda: tokens(place)[expired["id"]]["state"] == "expired", 5)
    eve.refused(expired, "has expired.*new token")
    eve.refused(revoked | {"token": revoked["token"][:-30]}, "no enrolment token|identity")
    eve.fresh_source()
    eve.refused(revoked | {"server": f"{place.gate.host.outer4}:444"}, "no answer")
    assert len(issued(place)) == 1 and not issued(place, "laptop/eve")


def test_pattern(place):
    eve = Device(place, "eve")
    eve.refused(token(place, "laptop/*"), "must say which it is")
    eve.refused(token(place, "laptop/*"), "is for .*laptop/\\*, not for", "--identity", "gateway/eve")
    place.alice.join(token(place, "laptop/*"), "--identity", "laptop/alice")
    eve.refused(token(place, "laptop/*"), "has a certificate already", "--identity", "laptop/alice")
    eve.fresh_source()
    eve.join(token(place, "laptop/*"), "--identity", "laptop/eve")


def test_way_back(place):
    """A device past its expiry, which can renew nothing any more: a new token and the same command bring it back."""
    alice = place.alice
    alice.join(token(place, "laptop/alice"))
    alice.up()
    alice.stop()
    old = place.pki.forge("laptop/alice", not_before=-90000, not_after=-100)
    alice.credential.certificate.write_bytes(old.certificate.read_bytes() + old.key.read_bytes())
    alice.start(wait=False)
    alice.wait_log("expired")
    alice.fresh_source()
    text = alice.join(token(place)).stdout
    assert re.search(r"in place of that of .*alice, which expired \d+ \w+ ago", text), text
    assert "was there, and is left as it is" in text
    if not alice.running:
        alice.wait_exit("any")
        alice.start()
    alice.wait_up(20)
    alice.host.ping(place.gate.inner())


def test_configuration_of_others(place):
    """A configuration that names other files is left alone, and the device told what to do."""
    other = place.pki.stage("laptop/alice")
    link = f'links = ( {{ name = "hq"; to = [ "{place.gate.host.outer4}:443" ]; identity = "{place.gate.identity}"; }} );'
    place.alice.write_config(f'node: {{ certificate = "{other.certificate}"; key = "{other.key}"; trust = "{place.pki.trust}"; }};'
                             f"\n{link}\n")
    before = place.alice.config.read_text()
    text = place.alice.join(token(place)).stdout
    assert "it names other files" in text and "set node.certificate and node.key to" in text, text
    assert place.alice.config.read_text() == before


def test_nowhere_to_write(place):
    """Found out before the token is used up."""
    made = token(place)
    for options, words in ((("--state", place.directory / "no" / "such"), "directory cannot be made"),
                           (("--state", place.directory / 'a"b'), "a path with one of"),
                           (("--config", "/proc/nowhere/mutun.conf"), "nothing can be written")):
        done = place.alice.host.run(*place.alice.words(made), *options, check=False)
        assert done.returncode == 1 and words in done.stderr, done.stderr
    assert tokens(place)[made["id"]]["state"] == "open"


def test_killed_at_any_moment(place):
    """kill -9: there is never a certificate without its trust, and the same command completes what was begun."""
    alice = place.alice
    start, killed, count = time.monotonic(), 0, 0
    alice.join(token(place))
    whole = time.monotonic() - start
    while killed < KILLS:
        count += 1
        assert count < 5 * KILLS, "it is hardly ever killed in the middle"
        for path in [*alice.state.iterdir(), alice.config]:
            path.unlink(missing_ok=True)
        alice.fresh_source()
        made = token(place, f"laptop/alice-{count}")
        start = time.monotonic()
        process = alice.host.start(*alice.words(made), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(random.uniform(0, 1) * whole)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if (alice.state / "node.pem").exists():
            run("openssl", "verify", "-partial_chain", "-CAfile", alice.state / "trust.crt", "-untrusted",
                alice.state / "node.pem", alice.state / "node.pem")
        if process.returncode == 0:
            whole = time.monotonic() - start
            continue
        killed += 1
        complete = alice.config.exists() and not (alice.state / ".join.pem").exists()
        again = alice.join(made, check=not complete)
        if complete:  # killed when it had nothing more to do
            assert re.search(rf"has been used; this device is .*laptop/alice-{count} already, for (1 day|23 h)", again.stderr)
            continue
        assert f"laptop/alice-{count}" in again.stdout and alice.config.exists()
        assert len(issued(place, f"laptop/alice-{count}")) == 1
        left = [name for name in os.listdir(alice.state) if name.startswith(".")]
        assert left == [], f"left behind: {left}"


# --- those in between

def test_wrong_ca(place):
    """Whoever answers in the gateway's place hears nothing worth knowing."""
    eve = place.attach(place.add_host("eve"))
    other = Authority(binary("mutun"), place.directory / "other-ca", place.pki.domain)
    mine = other.issue(place.directory / "mine", "gateway/gateway")
    made = token(place)
    server = f"{eve.outer4}:443"
    man = OtherEst(eve, place.directory / "man", other, mine, place.alice.identity)
    place.alice.refused(made, "not of the CA that made the token.*in between", server=server)
    man.process.kill()
    man.process.wait()
    # The right CA's certificates are no secret, but its keys are.
    man = OtherEst(eve, place.directory / "man2", other, mine, place.alice.identity, offered=place.pki)
    place.alice.refused(made, "gateway/gateway", server=server)
    heard = man.requests() + [json.loads(line) for line in (place.directory / "man/requests").read_text().splitlines()]
    assert {request["method"] for request in heard} == {"GET"}, heard
    assert not any("authorization" in (name.lower() for name in request["headers"]) for request in heard)
    assert made["password"] not in json.dumps(heard)
    # One of the right CA that is no gateway.
    man.process.kill()
    man.process.wait()
    laptop = place.pki.stage("laptop/eve")
    man = OtherEst(eve, place.directory / "man3", place.pki, laptop, place.alice.identity)
    place.alice.refused(made, "laptop/eve, where .*gateway/\\* is expected", server=server)
    assert {request["method"] for request in man.requests()} == {"GET"}
    place.alice.join(made)


def test_another_server(place):
    """Our client against a server that is not ours, with the habits that servers have."""
    host = place.attach(place.add_host("other"))
    credential = place.pki.issue(place.directory / "other", "gateway/other")
    other = OtherEst(host, place.directory / "other-est", place.pki, credential, place.alice.identity)
    made = token(place)
    server = f"{host.outer4}:443"
    alice = place.alice
    for habits in ((), ("wrapped",), ("chunked", "parameters"), ("upside-down", "wrapped"), ("forgetful",)):
        other.behave(*habits)
        for path in [*alice.state.glob("*"), alice.config]:
            path.unlink(missing_ok=True)
        done = json.loads(alice.join(made, "--json", server=server).stdout)
        assert done["identity"] == alice.identity, habits
    sent = [request for request in other.requests() if request["method"] == "POST"]
    assert all(request["path"] == f"{PATH}/simpleenroll" for request in sent)
    for request in sent:
        headers = {name.lower(): value for name, value in request["headers"].items()}
        assert headers["content-type"] == "application/pkcs10" and headers["content-transfer-encoding"] == "base64"
        assert headers["authorization"].startswith("Basic ")
        assert request["body"].endswith("\n") and max(map(len, request["body"].splitlines())) <= 64
    assert sent[-1]["body"] == sent[-2]["body"], "the answer was lost, and something else was asked"
    for path in [*alice.state.glob("*"), alice.config]:
        path.unlink(missing_ok=True)
    for habits, words in ((("garbage",), "not base64"), (("endless",), "larger than 65536"),
                          (("other-key",), "no certificate for our key"), (("refusing",), "the server refuses: not you"),
                          (("refusing", "rude"), "the server refuses: it gives no reason")):
        other.behave(*habits)
        done = alice.join(made, "--identity", "laptop/alice", check=False, server=server)
        assert done.returncode == 1 and words in done.stderr and "\x1b" not in done.stderr, done.stderr
        assert not (alice.state / "node.pem").exists()
    other.behave("other-name")
    done = alice.join(made, "--identity", "laptop/alice", check=False, server=server)
    assert done.returncode == 1 and "is for" in done.stderr and "-twin, not for" in done.stderr, done.stderr
    other.behave("busy")
    done = alice.join(made, check=False, server=server)
    assert done.returncode == 1 and "later (503)" in done.stderr and "again in 7 s" in done.stderr, done.stderr
    # 202: it will be decided; the same request is asked about later (RFC 7030, 4.2.3).
    other.behave("pending")
    done = alice.join(made, check=False, server=server)
    assert done.returncode == 1 and "later (202): somebody has to look at it" in done.stderr, done.stderr
    alice.join(made, server=server)
    last = [request["body"] for request in other.requests() if request["method"] == "POST"][-2:]
    assert last[0] == last[1]


# --- foreign clients

def test_curl(place):
    """Statuses and reasons, and what is signed, as any HTTP client sees it."""
    host, made = place.alice.host, token(place)
    auth = "-u", f"token:{made['password']}"
    first, second = request(place.directory, name="first"), request(place.directory, name="second")
    status, head, body = curl(host, place, "cacerts")
    assert status == 200 and "content-type: application/pkcs7-mime" in head
    assert curl(host, place, "csrattrs")[0] == 204
    assert curl(host, place, "serverkeygen")[0] == 404
    status, head, body = curl(host, place, "simpleenroll")
    assert status == 405 and "allow: post" in head
    status, head, body = curl(host, place, "simpleenroll", *post(first))
    assert status == 401 and "www-authenticate: basic" in head and "takes a token" in body
    status, head, body = curl(host, place, "simpleenroll", *post(first), "-u", "token:00")
    assert status == 401 and "no such token" in body and "text/plain" in head
    other = request(place.directory, x509.UniformResourceIdentifier(place.pki.identity("gateway/evil")), name="evil")
    status, head, body = curl(host, place, "simpleenroll", *post(other), *auth)
    assert status == 403 and "not for" in body
    more = request(place.directory, x509.DNSName("vpn.corp.example"), name="dns")
    status, head, body = curl(host, place, "simpleenroll", *post(more), *auth)
    assert status == 403 and "no DNS name" in body
    time.sleep(1)
    # Any user name; the answer that was lost, once more; another request, never.
    status, head, body = curl(host, place, "simpleenroll", *post(first), *auth, "-H", "Transfer-Encoding: chunked")
    assert status == 200, body
    one = leaf(body, place.directory)
    assert uri(one) == [place.pki.identity("laptop/alice")]
    status, head, body = curl(host, place, "simpleenroll", *post(first), "-u", f"anybody:{made['password']}")
    assert status == 200 and leaf(body, place.directory).serial_number == one.serial_number
    status, head, body = curl(host, place, "simpleenroll", *post(second), *auth)
    assert status == 401 and "has been used" in body
    assert len(issued(place)) == 1


def test_renewal_by_curl(world):
    """simplereenroll takes only the certificate that is to be renewed: good now, of this CA, admitted."""
    world.gate = world.gateway(issue=("--dns", "localhost"), gateway={
        "ca": str(world.pki.directory), "admit": [world.pki.identity("laptop/**")]})
    world.gate.start()
    host = world.attach(world.add_host("alice"))
    alice, berlin = world.pki.stage("laptop/alice"), world.pki.stage("site/berlin")
    expired = world.pki.forge("laptop/alice", not_before=-7200, not_after=-10)
    foreign = Authority(binary("mutun"), world.directory / "foreign", "partner.example").stage("laptop/alice")

    def show(credential):
        return "--cert", credential.certificate, "--key", credential.key

    plain = request(world.directory, name="plain")
    status, head, body = curl(host, world, "simplereenroll", *post(plain), *show(alice))
    assert status == 200 and uri(leaf(body, world.directory)) == [alice.identity]
    status, head, body = curl(host, world, "simplereenroll", *post(plain))
    assert status == 403 and "takes the certificate" in body
    status, head, body = curl(host, world, "simplereenroll", *post(plain), *show(berlin))
    assert status == 403 and "site/berlin is not admitted here" in body
    status, head, body = curl(host, world, "simplereenroll", *post(plain), *show(expired))
    assert status == 0 and "expired" in head
    status, head, body = curl(host, world, "simplereenroll", *post(plain), *show(foreign))
    assert status == 0 and "alert" in head
    names = request(world.directory, x509.UniformResourceIdentifier(world.pki.identity("laptop/bob")), name="names")
    status, head, body = curl(host, world, "simplereenroll", *post(names), *show(alice))
    assert status == 403 and "other names" in body
    # The gateway itself, whomever it admits.
    status, head, body = curl(host, world, "simplereenroll", *post(plain), *show(world.gate.credential))
    assert status == 200
    # One that asks all the time has to wait.
    host.ip("route", "replace", "default", "via", f"10.77.{host.number}.254", "src", host.outer4)
    seen = [curl(host, world, "simplereenroll", *post(plain), *show(alice))[0] for _ in range(10)]
    assert seen[-1] == 429 and set(seen) == {200, 429}, seen


def test_strongswan(place):
    """strongSwan's EST client: CA certificates, enrolment by token, renewal by certificate."""
    host, base = place.gate.host, place.directory / "swan"
    base.mkdir()
    ca = "--cacert", place.pki.directory / "root.crt", "--cacert", place.pki.directory / "issuing.crt"
    conf = base / "strongswan.conf"  # it speaks TLS 1.2 unless it is told otherwise
    conf.write_text("libtls { version_max = 1.3 }\n")
    environment = os.environ | {"STRONGSWAN_CONF": str(conf)}
    done = host.run("pki", "--estca", "--url", "https://localhost:443", *ca, "--caout", base / "ca.crt", "--outform", "pem",
                    check=False, env=environment)
    if "NameConstraint not supported" in done.stderr:
        pytest.skip("strongSwan 6 refuses CA certificates that constrain URIs (RFC 5280, 4.2.1.10), as issuing CAs of mutun do")
    assert done.returncode == 0, done.stderr
    found = {x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256())
             for path in base.glob("ca*.crt")}
    ours = x509.load_pem_x509_certificate((place.pki.directory / "root.crt").read_bytes())
    assert ours.fingerprint(hashes.SHA256()) in found

    def enrol(name, *options):
        request(base, name=name)
        run("openssl", "req", "-in", base / f"{name}.pem", "-outform", "der", "-out", base / f"{name}.der")
        done = host.run("pki", "--est", "--url", "https://localhost:443", *ca, "--in", base / f"{name}.der", *options,
                        "--outform", "pem", check=False, env=environment)
        assert done.returncode == 0 and "Issued certificate is trusted" in done.stderr, done.stderr
        (base / f"{name}.crt").write_text(done.stdout)
        return x509.load_pem_x509_certificate(done.stdout.encode())

    made = token(place)
    first = enrol("first", "--userpass", f"token:{made['password']}")
    assert uri(first) == [place.pki.identity("laptop/alice")]
    second = enrol("second", "--cert", base / "first.crt", "--key", base / "first.key")
    assert uri(second) == uri(first) and second.serial_number != first.serial_number
    assert len(issued(place)) == 2


def talk(host, text, *command, seconds=3):
    """What a client said that was given this to send, until it had an answer or some seconds were over."""
    process = host.start(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    process.stdin.write(text.encode())
    process.stdin.flush()
    os.set_blocking(process.stdout.fileno(), False)
    end = time.monotonic() + seconds * SLOW
    said = b""
    while time.monotonic() < end and not (b"HTTP/1.1 200" in said and b"pkcs7-mime" in said):
        said += process.stdout.read() or b""
        time.sleep(0.02)
    process.kill()
    process.wait()
    return said.decode(errors="replace")


def test_foreign_tls(place):
    """openssl and gnutls-cli, with the protocol offered and without: HTTP is spoken, TLS 1.3 alone."""
    ask = f"GET {PATH}/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n"
    host, server = place.alice.host, place.gate.host.outer4
    openssl = "openssl", "s_client", "-connect", f"{server}:443", "-ign_eof", "-CAfile", place.pki.trust
    gnutls = "gnutls-cli", "--no-ca-verification", "-p", 443, server
    for command in (openssl, (*openssl, "-alpn", "http/1.1"), (*openssl, "-alpn", "h2,http/1.1"), gnutls,
                    (*gnutls, "--alpn", "http/1.1")):
        said = talk(host, ask, *command)
        assert "HTTP/1.1 200 OK" in said and "pkcs7-mime" in said, f"{command}\n{said}"
    time.sleep(1.5)
    said = talk(host, ask, *openssl, "-alpn", "h2", seconds=1)
    assert "HTTP/1.1" not in said and "no application protocol" in said.lower(), said
    said = talk(host, ask, *openssl, "-tls1_2", seconds=1)
    assert "HTTP/1.1" not in said and "alert" in said, said


# --- those who mean no good

def test_hostile_http(place):
    """Nothing that a stranger says over HTTP disturbs a session, or the answers of the daemon, or those who renew."""
    alice = place.alice
    alice.join(token(place))
    alice.up()
    eve = place.attach(place.add_host("eve"))
    for number in range(20, 28):
        eve.ip("address", "add", f"10.77.{eve.number}.{number}/24", "dev", "wan")
    stop = threading.Event()
    asked = []

    def ask_on():
        while not stop.is_set():
            start = time.monotonic()
            place.gate.status()
            asked.append(time.monotonic() - start)
            time.sleep(0.05)

    asker = threading.Thread(target=ask_on)
    asker.start()
    try:
        done = eve.run("/usr/bin/python3", "-c", HOSTILE, place.gate.host.outer4, f"10.77.{eve.number}.", timeout=60)
        alice.host.ping(place.gate.inner(), count=20)
        said = json.loads(done.stdout)
        # Meanwhile, with as many connections as eve can hold, those with a certificate are served.
        csr = request(place.directory, name="busy")
        (place.directory / "alice.key").write_bytes(alice.credential.key.read_bytes())
        status = curl(alice.host, place, "simplereenroll", *post(csr), "--cert", alice.credential.certificate, "--key",
                      alice.credential.key)[0]
        assert status == 200
    finally:
        stop.set()
        asker.join()
    assert said["huge"].startswith("HTTP/1.1 413"), said
    assert said["malformed"].startswith(("HTTP/1.1 400", "")), said
    assert said["pipelined"] == 8, said
    assert said["held"] <= 72, "a stranger holds more connections than it should"
    assert max(asked) < 1.5 * SLOW, f"the daemon took {max(asked):.2f} s to answer"
    assert place.gate.running and alice.session()["renewals"] == 0


# In eve's namespace, with many addresses and no certificate.
HOSTILE = r"""
import json, socket, ssl, sys, time
server, base = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.set_alpn_protocols(["http/1.1"])

def dial(source):
    return context.wrap_socket(socket.create_connection((server, 443), 5, (base + str(source), 0)))

def hear(connection, seconds=5):
    said = b""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            part = connection.recv(65536)
            if not part:
                break
            said += part
            if b"\r\n\r\n" in said and not said.startswith(b"HTTP/1.1 2"):
                break
    except OSError:
        pass
    return said.decode(errors="replace")

head = "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: x\r\nContent-Type: application/pkcs10\r\n"
out = {}
c = dial(20)
c.sendall((head + "Content-Length: 10000000\r\n\r\n").encode())
out["huge"] = hear(c)
c = dial(20)
c.sendall(b"\x00\xff GET\r\n: :\r\n\r\n")
out["malformed"] = hear(c)
c = dial(20)
c.sendall(b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
out["pipelined"] = hear(c).count("HTTP/1.1 200")
c = dial(21)
try:
    c.sendall((head + "Transfer-Encoding: chunked\r\n\r\n").encode())
    for _ in range(200):
        c.sendall(b"1000\r\n" + b"A" * 4096 + b"\r\n")
except OSError:
    pass
out["chunks"] = hear(c, 2)[:12]
held = []
for source in range(20, 28):
    for _ in range(12):
        try:
            c = dial(source)
            c.sendall(head.encode())
            held.append(c)
        except OSError:
            pass
alive = 0
time.sleep(0.5)
for c in held:
    c.settimeout(0.01)
    try:
        alive += c.recv(1) != b""
    except TimeoutError:
        alive += 1
    except OSError:
        pass
out["held"] = alive
for round in range(3):
    for c in held:
        try:
            c.sendall(b"X-a: b\r\n")
        except OSError:
            pass
    time.sleep(0.3)
print(json.dumps(out))
"""
