# SPDX-License-Identifier: Apache-2.0
"""The CA's EST service, as clients that are not ours see it, and as those who mean no good do.

        laptop (alice) ----.
        anybody (eve) ----- internet ---- gateway, which serves the CA"""

import json
import os
import re
import subprocess
import threading
import time

import pytest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lib.device import PATH, issued, place, token  # noqa: F401  (place is a fixture)
from lib.host import SLOW, run
from lib.node import binary
from lib.pki import Authority


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
