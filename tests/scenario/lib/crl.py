# SPDX-License-Identifier: Apache-2.0
"""Revocation lists of the CA of a test, a web server that serves them well or badly, and how long a daemon's loop stands still."""

import datetime
import json
import secrets
import socket
import subprocess
import threading
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lib.pki import write
from lib.traffic import PYTHON

DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM


class Lists:
    """What the issuing CA withdraws: one list after the other, each with the next number."""

    def __init__(self, pki):
        self.certificate = x509.load_pem_x509_certificate((pki.directory / "issuing.crt").read_bytes())
        self.key = serialization.load_pem_private_key((pki.directory / "issuing.key").read_bytes(), None)
        self.number = 0

    def make(self, *revoked, number=None, this=-60, after=3600, encoding=DER, reason=None):
        """A list that names these credentials, by Python's cryptography."""
        self.number = number if number is not None else self.number + 1
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
                   .last_update(now + datetime.timedelta(seconds=this)).next_update(now + datetime.timedelta(seconds=after))
                   .add_extension(x509.CRLNumber(self.number), critical=False))
        for credential in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(credential.serial()).revocation_date(now)
            if reason:
                entry = entry.add_extension(x509.CRLReason(reason), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        made = builder.sign(self.key, hashes.SHA256()).public_bytes(encoding)
        return made + self.certificate.public_bytes(PEM) if encoding == PEM else made

    def large(self, count, *revoked, after=3600):
        """A list of so many random serial numbers and these credentials, put together by hand: builders take minutes for it."""
        self.number += 1
        now = datetime.datetime.utcnow()
        when = b"\x17\x0d" + now.strftime("%y%m%d%H%M%SZ").encode()
        after = b"\x17\x0d" + (now + datetime.timedelta(seconds=after)).strftime("%y%m%d%H%M%SZ").encode()
        reason = bytes.fromhex("300c300a0603551d1504030a0101")
        noise = secrets.token_bytes(19 * count)
        tail = when + reason
        head = b"\x30" + bytes([22 + len(tail)]) + b"\x02\x14\x41"
        entries = b"".join(head + noise[19 * i:19 * i + 19] + tail for i in range(count))
        for credential in revoked:
            number = credential.serial()
            entries += tlv(0x30, tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big")) + tail)
        algorithm = bytes.fromhex("300a06082a8648ce3d040302")
        number = tlv(0x30, bytes.fromhex("0603551d14") + tlv(4, tlv(2, self.number.to_bytes(4, "big").lstrip(b"\0") or b"\0")))
        signed = tlv(0x30, b"\x02\x01\x01" + algorithm + self.certificate.subject.public_bytes() + when + after +
                     tlv(0x30, entries) + tlv(0xa0, tlv(0x30, number)))
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        return tlv(0x30, signed + algorithm + tlv(3, b"\0" + signature))


def tlv(tag, content):
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def openssl_list(pki, directory, *revoked):
    """The same by `openssl ca -gencrl`, as many a corporate CA does it."""
    directory = Path(directory)
    directory.mkdir()
    (directory / "crlnumber").write_text("4D\n")
    now = datetime.datetime.utcnow().strftime("%y%m%d%H%M%SZ")
    lines = [f"R\t400101000000Z\t{now},keyCompromise\t{credential.serial():040X}\tunknown\t/O=x\n" for credential in revoked]
    (directory / "index.txt").write_text("".join(lines))
    (directory / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=it\n[it]\ndatabase={directory}/index.txt\ncrlnumber={directory}/crlnumber\n"
        f"certificate={pki.directory}/issuing.crt\nprivate_key={pki.directory}/issuing.key\ndefault_md=sha256\n"
        f"default_crl_days=1\n")
    subprocess.run(["openssl", "ca", "-batch", "-config", directory / "ca.cnf", "-gencrl", "-out", directory / "list.pem"],
                   check=True, capture_output=True)
    return (directory / "list.pem").read_bytes()


# Reads what to answer from a file at every request, and writes down what it was asked.
SERVER = """
import http.server, json, pathlib, sys, time
directory = pathlib.Path(sys.argv[3])
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def address_string(self):
        return "-"
    def log_message(self, *words):
        pass
    def do_GET(self):
        plan = json.loads((directory / "plan").read_text())
        body = (directory / "body").read_bytes()
        tag = plan.get("tag")
        status = plan.get("status", 200)
        if status == 200 and tag and self.headers.get("If-None-Match") == tag:
            status = 304
        with (directory / "asked").open("a") as file:
            file.write(json.dumps({"status": status, "match": self.headers.get("If-None-Match")}) + "\\n")
        self.send_response(status)
        if tag:
            self.send_header("ETag", tag)
        if status in (301, 302):
            self.send_header("Location", "http://127.0.0.1:1/")
        if status == 304:
            self.end_headers()
            return
        self.send_header("Content-Length", str(plan.get("claim", len(body))))
        self.end_headers()
        self.close_connection = "claim" in plan
        if plan.get("slow"):
            for i in range(len(body)):
                self.wfile.write(body[i:i + 1])
                self.wfile.flush()
                time.sleep(plan["slow"])
        else:
            self.wfile.write(body)
http.server.ThreadingHTTPServer.daemon_threads = True
http.server.ThreadingHTTPServer.address_family = 2
http.server.HTTPServer.server_bind = lambda self: http.server.socketserver.TCPServer.server_bind(self)
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


class Server:
    def __init__(self, host, directory, address, port=80):
        self.directory = Path(directory)
        self.directory.mkdir()
        self.url = f"http://{address}:{port}/list.crl"
        self.serve(b"", status=404)
        self.process = host.start(PYTHON, "-c", SERVER, address, port, directory)
        host.wait_listening(port)

    def serve(self, body, **plan):
        write(self.directory / "body", body)
        write(self.directory / "plan", json.dumps(plan).encode())

    def asked(self):
        path = self.directory / "asked"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def stop(self):
        self.process.kill()
        self.process.wait()


def ask(node, command):
    """What a daemon answers, asked without a process of its own for it: those of a test with a large memory cost the machine more
    than what is measured."""
    answer = b""
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(node.socket))
        end.sendall(json.dumps({"command": command}).encode() + b"\n")
        while part := end.recv(65536):
            answer += part
    return json.loads(answer)["result"]


class Loop:
    """Asks a daemon's control socket over and over; what its slowest answer took says how long the loop stood still."""

    def __init__(self, node):
        self.node = node
        self.slowest_ms, self.count = 0.0, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.is_set():
            begin = time.monotonic()
            ask(self.node, "status")
            self.slowest_ms = max(self.slowest_ms, 1000 * (time.monotonic() - begin))
            self.count += 1
            time.sleep(0.001)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.over.set()
        self.thread.join()


def resident_kb(process):
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0

