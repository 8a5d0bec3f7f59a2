# SPDX-License-Identifier: Apache-2.0
"""An EST server that is not ours, with the habits of several (globalsign/est, libest, reverse proxies before them), and some
that are bad. Run as a programme in a host's namespace; OtherEst is how tests speak of it."""

import base64
import datetime
import http.server
import json
import ssl
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class OtherEst:
    """The server on a host. `ca` is an Authority, which signs; `offered` (another one) is shown by cacerts instead of it."""

    def __init__(self, host, directory, ca, credential, identity, offered=None, port=443):
        self.directory = Path(directory)
        self.directory.mkdir()
        (self.directory / "requests").touch()
        self.behave()
        self.process = host.start("/usr/bin/python3", __file__, self.directory, ca.directory, (offered or ca).directory,
                                  credential.certificate, credential.key, identity, port)
        host.wait_listening(port)

    def behave(self, *habits):
        (self.directory / "habits").write_text(" ".join(habits))
        for path in self.directory.glob("once-*"):
            path.unlink()

    def requests(self):
        """What came: method, path, headers, body."""
        return [json.loads(line) for line in (self.directory / "requests").read_text().splitlines()]


class Authority:
    def __init__(self, directory, identity):
        self.root = x509.load_pem_x509_certificate((directory / "root.crt").read_bytes())
        self.issuing = x509.load_pem_x509_certificate((directory / "issuing.crt").read_bytes())
        self.key = serialization.load_pem_private_key((directory / "issuing.key").read_bytes(), None)
        self.identity = identity
        self.signed = {}

    def sign(self, public_key, identity):
        now = datetime.datetime.utcnow()
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        flags = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
                               "crl_sign", "encipher_only", "decipher_only"), False)
        return (x509.CertificateBuilder()
                .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a device")]))
                .issuer_name(self.issuing.subject).public_key(public_key).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + datetime.timedelta(hours=1))
                .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=False)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(x509.KeyUsage(digital_signature=True, **flags), critical=True)
                .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
                .sign(self.key, hashes.SHA256()))

    def answer(self, body, habits):
        request = x509.load_der_x509_csr(base64.b64decode(body))
        if "other-key" in habits:
            return self.sign(ec.generate_private_key(ec.SECP256R1()).public_key(), self.identity)
        if "other-name" in habits:
            return self.sign(request.public_key(), self.identity + "-twin")
        if body not in self.signed:
            self.signed[body] = self.sign(request.public_key(), self.identity)
        return self.signed[body]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def habits(self):
        return (self.server.directory / "habits").read_text().split()

    def log_message(self, *words):
        pass

    def note(self, body):
        with (self.server.directory / "requests").open("a") as file:
            file.write(json.dumps({"method": self.command, "path": self.path, "headers": dict(self.headers),
                                   "body": body.decode()}) + "\n")

    def once(self, name):
        """True the first time since the habits were set."""
        path = self.server.directory / f"once-{name}"
        if name not in self.habits() or path.exists():
            return False
        path.touch()
        return True

    def refuse(self, status, words, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)

    def certificates(self, certificates):
        habits = self.habits()
        body = base64.b64encode(pkcs7.serialize_certificates(certificates, serialization.Encoding.DER))
        kind = "application/pkcs7-mime"
        if "wrapped" in habits:
            body = b"\r\n".join(body[at:at + 76] for at in range(0, len(body), 76)) + b"\r\n"
        if "parameters" in habits:
            kind = "Application/PKCS7-MIME ; smime-type=certs-only; charset=utf-8"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if "wrapped" in habits:
            self.send_header("Content-Transfer-Encoding", "base64")
        if "chunked" in habits:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), 100):
                part = body[at:at + 100]
                self.wfile.write(b"%x;x=y\r\n%s\r\n" % (len(part), part))
            body = b"0\r\n\r\n"
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.note(b"")
        if not self.path.endswith("/cacerts"):
            return self.refuse(404, b"")
        offered = self.server.offered
        return self.certificates([offered.root, offered.issuing])

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.note(body)
        habits = self.habits()
        if self.once("pending"):
            return self.refuse(202, b"somebody has to look at it\n", Retry_After="1")
        if "busy" in habits:
            return self.refuse(503, b"<html>busy</html>", Retry_After="7")
        if "garbage" in habits:
            return self.refuse(200, b"<html>welcome</html>")
        if "endless" in habits:
            return self.refuse(200, b"A" * 200000)
        if "refusing" in habits:
            return self.refuse(403, b"not you\x1b[2J\n" if "rude" in habits else b"not you\n")
        leaf = self.server.authority.answer(body, habits)
        if self.once("forgetful"):  # the answer is lost
            self.close_connection = True
            self.connection.close()
            return None
        authority = self.server.authority
        return self.certificates([authority.root, authority.issuing, leaf] if "upside-down" in habits else [leaf])


def serve(directory, ca, offered, certificate, key, identity, port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("0.0.0.0", int(port)), Handler)
    server.directory = Path(directory)
    server.authority = Authority(Path(ca), identity)
    server.offered = Authority(Path(offered), identity)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    serve(*sys.argv[1:])
