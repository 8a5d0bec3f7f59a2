# SPDX-License-Identifier: Apache-2.0
"""Ends of a connection that are not mutun: openssl s_client and s_server."""

import subprocess
import time

from lib.host import SLOW, Failed, wait_for

ALPN = "mutun/1"


def dial(host, target, credential=None, alpn=ALPN, *options, seconds=2):
    """openssl s_client to target ("10.77.1.1:443"); returns all that it said. It stays for some seconds, for in TLS 1.3 the
    server's verdict comes after the handshake."""
    command = ["openssl", "s_client", "-connect", target, "-ign_eof", *options]
    if credential is not None:
        command += ["-cert", credential.certificate, "-cert_chain", credential.certificate, "-key", credential.key]
    if alpn is not None:
        command += ["-alpn", alpn]
    process = host.start(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        return process.communicate(timeout=seconds * SLOW)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]


class Impostor:
    """openssl s_server in a gateway's place. text() is what it said."""

    def __init__(self, host, credential, trust, log, *options, port=443, alpn=ALPN):
        self.log = log
        command = ["openssl", "s_server", "-accept", str(port), "-cert", credential.certificate, "-cert_chain",
                   credential.certificate, "-key", credential.key, "-CAfile", trust, "-Verify", "4", *options]
        if alpn is not None:
            command += ["-alpn", alpn]
        with open(log, "wb") as file:
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


def pause():
    """Between two handshakes of one source: a gateway lets it begin five a second after a burst of ten."""
    time.sleep(0.25)
