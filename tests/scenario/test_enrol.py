# SPDX-License-Identifier: Apache-2.0
"""Enrolment: a token on the CA, `mutun join` on the device, EST in between; and everything that goes wrong on the way.

        laptop (alice) ----.
        anybody (eve) ----- internet ---- gateway, which serves the CA"""

import json
import os
import random
import re
import subprocess
import time

from lib.device import PATH, Device, issued, place, token, tokens  # noqa: F401  (place is a fixture)
from lib.host import run, wait_for
from lib.node import binary
from lib.other_est import OtherEst
from lib.pki import Authority

KILLS = int(os.environ.get("MUTUN_KILLS", "12"))


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
    eve.fresh_source()
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
