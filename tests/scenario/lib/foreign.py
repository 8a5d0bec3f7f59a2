# SPDX-License-Identifier: Apache-2.0
"""Ends of a connection that are not mutun: those of openssl and of GnuTLS, and a few bytes of our own."""

import json
import subprocess
import time

from lib.host import SLOW, Failed, wait_for

ALPN = "mutun/1"


def listen(host, command, seconds):
    """Runs a command, with an end of input that never comes, for some seconds at most; returns all that it said."""
    process = host.start(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        return process.communicate(timeout=seconds * SLOW)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


def dial(host, target, credential=None, alpn=ALPN, *options, seconds=2, tree=None):
    """openssl s_client to target ("10.77.1.1:443"), or that of another tree; returns all that it said. It stays for some seconds,
    for in TLS 1.3 the server's verdict comes after the handshake."""
    command = ["openssl", "s_client", "-connect", target, "-ign_eof", *options]
    if tree is not None:
        command = ["chroot", tree, *command]
    if credential is not None:
        command += ["-cert", credential.certificate, "-cert_chain", credential.certificate, "-key", credential.key]
    if alpn is not None:
        command += ["-alpn", alpn]
    return listen(host, command, seconds)


def dial_gnutls(host, target, credential=None, alpn=ALPN, *options, priority="NORMAL", seconds=2):
    """The same by gnutls-cli."""
    address, port = target.rsplit(":", 1)
    command = ["gnutls-cli", "--no-ca-verification", "--verbose", f"--priority={priority}", "-p", port, *options, address]
    if credential is not None:
        command += ["--x509certfile", credential.certificate, "--x509keyfile", credential.key]
    if alpn is not None:
        command += ["--alpn", alpn]
    return listen(host, command, seconds)


class Speaker:
    """A stranger who can say what he likes: openssl s_client, with frames written and read by hand (tun/PROTOCOL.md)."""

    def __init__(self, host, target, credential):
        self.process = host.start(
            "openssl", "s_client", "-quiet", "-connect", target, "-alpn", ALPN, "-cert", credential.certificate,
            "-cert_chain", credential.certificate, "-key", credential.key, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.communicate()

    def say(self, **message):
        data = json.dumps(message).encode()
        self.process.stdin.write(b"\x01" + len(data).to_bytes(3, "big") + data)
        self.process.stdin.flush()

    def hear(self):
        head = self.process.stdout.read(4)
        return json.loads(self.process.stdout.read(int.from_bytes(head[1:], "big")))


# Dials with TLS, stops at a point ("certificate": before its own is sent, "hello": with the handshake done), says so, and goes on
# with the next line of its input, which it sends as a message. Prints what comes back.
HESITANT = """
import socket, ssl, sys
address, port, certificate, key, point = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.load_cert_chain(certificate, key)
context.set_alpn_protocols(["mutun/1"])
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(incoming, outgoing)
connection = socket.create_connection((address, int(port)), 5)
def until_done(what):
    while True:
        try:
            return what()
        except ssl.SSLWantReadError:
            connection.sendall(outgoing.read())
            data = connection.recv(65536)
            incoming.write(data) if data else incoming.write_eof()
until_done(tls.do_handshake)
if point == "hello":
    connection.sendall(outgoing.read())
print("ready", flush=True)
message = sys.stdin.readline().encode()
tls.write(bytes([1]) + len(message).to_bytes(3, "big") + message)
connection.sendall(outgoing.read())
print(until_done(lambda: tls.read(65536))[4:].decode())
"""


class Hesitant:
    """A client that stands still in the middle of its handshake; see above."""

    def __init__(self, host, target, credential, point):
        address, port = target.rsplit(":", 1)
        self.process = host.start("python3", "-c", HESITANT, address, port, credential.certificate, credential.key, point,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        line = self.process.stdout.readline()
        if line != "ready\n":
            raise Failed(f"no handshake: {line}{self.process.communicate()[0]}")

    def go_on(self, **message):
        """What it is answered."""
        return self.process.communicate(json.dumps(message) + "\n", timeout=10 * SLOW)[0]


# Sends a file in pieces and prints, in hexadecimal, what comes back until nothing does for a second.
PIECES = """
import socket, sys, time
address, port, path, size = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
data = open(path, "rb").read()
with socket.create_connection((address, port), 5) as connection:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(data), size):
        connection.sendall(data[at:at + size])
    connection.settimeout(1)
    answer = b""
    try:
        while (more := connection.recv(65536)):
            answer += more
    except (TimeoutError, ConnectionResetError):
        pass
print(answer.hex())
"""


def send_pieces(host, target, data, size, path):
    """What a host is answered that sends bytes in pieces of a size."""
    path.write_bytes(data)
    address, port = target.rsplit(":", 1)
    return bytes.fromhex(host.run("python3", "-c", PIECES, address, port, path, size, timeout=30).stdout)


class Impostor:
    """openssl s_server in a gateway's place. text() is what it said."""

    def __init__(self, host, credential, trust, log, *options, port=443, alpn=ALPN):
        self.log = log
        command = ["openssl", "s_server", "-accept", str(port), "-cert", credential.certificate, "-cert_chain",
                   credential.certificate, "-key", credential.key, "-CAfile", trust, "-Verify", "4", *options]
        if alpn is not None:
            command += ["-alpn", alpn]
        self.begin(host, command, port)

    def begin(self, host, command, port):
        with open(self.log, "wb") as file:
            self.process = host.start(*command, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT)
        host.wait_listening(port)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_text(self, text, seconds=10):
        try:
            wait_for(f"\"{text}\" from openssl s_server", lambda: text in self.text(), seconds)
        except Failed as failed:
            raise Failed(f"{failed}, which said:\n{self.text()}") from None


class GnuImpostor(Impostor):
    """gnutls-serv in a gateway's place; it sends back what it is sent."""

    def __init__(self, host, credential, log, *options, port=443, alpn=ALPN, priority="NORMAL"):
        self.log = log
        command = ["gnutls-serv", "--echo", "-p", str(port), "--x509certfile", credential.certificate, "--x509keyfile",
                   credential.key, f"--priority={priority}", *options]
        if alpn is not None:
            command += ["--alpn", alpn, "--alpn-fatal"]
        self.begin(host, command, port)


def pause():
    """Between two handshakes of one source: a gateway lets it begin five a second after a burst of ten."""
    time.sleep(0.25)
