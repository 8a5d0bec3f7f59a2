# SPDX-License-Identifier: Apache-2.0
"""An EST server (RFC 7030) that misbehaves on demand: what a renewal agent must live with. Run as a programme, it serves; class Est
runs it on a host of the test's network."""

import base64
import http.server
import json
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from lib.pki import leaf

ROOT = "/.well-known/est/"


class Est:
    """`authority` signs what is asked for; `believes` (its own trust otherwise) is what clients must come from, and what the
    server itself has its certificate of, so that it can sign by a CA that is new to them. See serve() for the modes."""

    port = 8440

    def __init__(self, host, directory, authority, seconds, believes=None):
        Est.port += 1
        self.host, self.port = host, Est.port
        self.directory = Path(directory) / f"est-{self.port}"
        self.directory.mkdir()
        believes = believes or authority
        self.state, self.log_path = self.directory / "state", self.directory / "log"
        self.roots = self.directory / "roots.crt"
        self.roots.write_bytes(authority.trust.read_bytes())
        self.credential = believes.issue(self.directory / "server", "gateway/est")
        self.settings = {
            "port": self.port, "seconds": seconds, "state": str(self.state), "log": str(self.log_path),
            "roots": str(self.roots), "ca": str(authority.directory), "trust": str(believes.trust),
            "certificate": str(self.credential.certificate), "key": str(self.credential.key)}
        self.process = None
        self.mode("ok")
        self.start()

    def url(self):
        return f"https://{self.host.outer4}:{self.port}"

    def mode(self, *words):
        """"ok"; "later" 503 with Retry-After SECONDS; "refuse" 403; "slow" SECONDS; "offset" SECONDS from now for notBefore."""
        temporary = self.state.with_suffix(".new")
        temporary.write_text(json.dumps(words))
        temporary.replace(self.state)

    def start(self):
        self.process = self.host.start(sys.executable, "-m", "lib.est", json.dumps(self.settings), stderr=subprocess.PIPE,
                                       cwd=Path(__file__).parents[1])
        self.host.wait_listening(self.port)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def freeze(self, frozen):
        self.process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def calls(self):
        """(client address, operation, status) of each."""
        return [tuple(line.split()) for line in self.log_path.read_text().splitlines()] if self.log_path.exists() else []

    def count(self, operation, status):
        return sum(call[1:] == (operation, str(status)) for call in self.calls())


def certificates_in(path):
    end = b"-----END CERTIFICATE-----\n"
    return [x509.load_pem_x509_certificate(one + end) for one in Path(path).read_bytes().split(end)[:-1]]


def sign(settings, request, offset):
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    domain = names.get_values_for_type(x509.UniformResourceIdentifier)[0].split("/")[2]
    return list(leaf(Path(settings["ca"]), request.public_key(), domain, names, offset, max(offset, 0) + settings["seconds"]))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", **headers):
        operation = self.path.removeprefix(ROOT)
        with open(self.server.settings["log"], "a") as log:
            log.write(f"{self.client_address[0]} {operation} {status}\n")
        self.send_response(status)
        for name, value in ({"Content-Length": len(body)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def certificates(self, certificates):
        der = pkcs7.serialize_certificates(certificates, serialization.Encoding.DER)
        self.answer(200, base64.encodebytes(der), Content_Type="application/pkcs7-mime; smime-type=certs-only")

    def misbehave(self):
        """True: it is answered already."""
        mode, *words = json.loads(Path(self.server.settings["state"]).read_text())
        self.offset = -60
        if mode == "later":
            self.answer(503, b"busy\n", Retry_After=words[0])
        elif mode == "refuse":
            self.answer(403, b"not today\n")
        elif mode == "offset":
            self.offset = words[0]
        elif mode == "slow":
            time.sleep(words[0])
        return mode in ("later", "refuse")

    def do_GET(self):
        if not self.misbehave():
            self.certificates(certificates_in(self.server.settings["roots"]))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.misbehave():
            request = x509.load_der_x509_csr(base64.b64decode(body))
            self.certificates(sign(self.server.settings, request, self.offset))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *arguments):
        pass

    def get_request(self):
        connection, address = super().get_request()
        connection.settimeout(30)
        # The handshake is the handler's: it must not keep others waiting.
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address


def serve(settings):
    server = Server(("0.0.0.0", settings["port"]), Handler, bind_and_activate=False)
    server.allow_reuse_address = True
    server.settings = settings
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(settings["certificate"], settings["key"])
    server.context.load_verify_locations(settings["trust"])
    server.context.verify_mode = ssl.CERT_REQUIRED
    server.server_bind()
    server.server_activate()
    server.serve_forever()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
