# SPDX-License-Identifier: Apache-2.0
"""Revocation lists of a CA, from files and URLs: who is named goes at once, and nobody else does."""

import os
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from lib.crl import PEM, Lists, Loop, Server, ask, openssl_list, resident_kb
from lib.host import SLOW, Failed, wait_for
from lib.pki import write
from lib.traffic import Probes

LARGE = int(os.environ.get("MUTUN_CRL_ENTRIES", "100000"))
LOADS = int(os.environ.get("MUTUN_CRL_LOADS", "6"))


@pytest.fixture
def trio(world):
    """A gateway with a revocation list in a file, and two clients."""
    world.lists = Lists(world.pki)
    world.file = world.directory / "corp.crl"
    write(world.file, world.lists.make(encoding=PEM))
    world.gate = world.gateway(gateway={"reauth_within": 1}, revocation={"lists": [{"file": world.file}]})
    world.alice = world.client("alice", world.gate)
    world.bob = world.client("bob", world.gate)
    world.start(world.gate, world.alice, world.bob)
    return world


def the_list(node):
    lists = node.status()["revocation"]["lists"]
    assert len(lists) == 1
    return lists[0]


def wait_list(node, what, seconds=10, **wanted):
    def found():
        have = the_list(node)
        for key, value in wanted.items():
            if callable(value):
                if not value(have.get(key)):
                    raise Failed(f"{key} is {have.get(key)!r} in {have}")
            elif have.get(key) != value:
                raise Failed(f"{key} is {have.get(key)!r}, not {value!r}, in {have}")
        return have
    return wait_for(what, found, seconds)


def is_problem(*words):
    return lambda text: bool(text) and all(word in text for word in words)


def identities(gate):
    return {session["identity"].rsplit("/", 1)[1] for session in gate.sessions()}


def expect_cut(world, begin, node, other):
    """The session of one ends within a second, that of the other does not."""
    name = node.identity.rsplit("/", 1)[1]
    wait_for(f"the end of the session of {name}", lambda: name not in identities(world.gate), 5)
    took = time.monotonic() - begin
    assert took < 1.0 * SLOW, f"{took:.2f} s until {name} was out"
    assert other.identity.rsplit("/", 1)[1] in identities(world.gate)


def test_revoked_is_out(trio):
    """The live session ends within a second, also when the certificate is shown again; other sessions do not notice."""
    session = trio.bob.session()["id"]
    begin = time.monotonic()
    write(trio.file, trio.lists.make(trio.alice.credential, encoding=PEM, reason=x509.ReasonFlags.key_compromise))
    expect_cut(trio, begin, trio.alice, trio.bob)
    refused = r"the certificate of \S+/alice was revoked .* by .* \(key compromise\)"
    trio.gate.wait_log(refused)
    mark = trio.gate.mark()
    trio.alice.mutun("reauth")
    trio.gate.wait_log(refused, since=mark)
    assert "alice" not in identities(trio.gate)
    assert trio.bob.session()["id"] == session
    have = the_list(trio.gate)
    assert have["entries"] == 1 and have["number"] == "02" and have["state"] == "current" and not have["problem"]
    assert "revoked:" in trio.gate.mutun("status").stdout
    # What the list no longer names (a hold that was lifted) may come again.
    write(trio.file, trio.lists.make(encoding=PEM))
    trio.alice.mutun("reauth")
    trio.alice.wait_up(30)


def test_bad_lists(trio):
    """Nothing that can happen to the file lets the revoked in, or anybody else out."""
    good = trio.lists.make(trio.alice.credential, encoding=PEM)
    write(trio.file, good)
    wait_for("the end of alice's session", lambda: identities(trio.gate) == {"bob"}, 5)
    stranger = Lists(trio.pki)
    stranger.key = ec.generate_private_key(ec.SECP256R1())
    der = trio.lists.make(number=3)
    bad = [(b"", "empty"), (b"<html>", "no revocation list"), (good[:len(good) // 2], "cut short"),
           (der[:100], "cut short"), (der + b"\0\0", "follow"), (stranger.make(number=9, encoding=PEM), "signature"),
           (trio.lists.make(number=1, encoding=PEM), "number"), (trio.lists.make(number=4, this=-7200, encoding=PEM), "older"),
           (trio.lists.make(number=5, this=7200, after=9000, encoding=PEM), "not valid yet"), (der, "certificate this node lacks")]
    for content, word in bad:
        write(trio.file, content)
        have = wait_list(trio.gate, f"a problem with \"{word}\"", problem=is_problem(word))
        assert have["number"] == "02" and have["state"] == "current", have
        assert identities(trio.gate) == {"bob"}
    trio.file.unlink()
    wait_list(trio.gate, "a missing file", problem=is_problem("No such file"))
    # Also over a restart: the last good one was kept.
    trio.gate.stop()
    trio.gate.start()
    have = the_list(trio.gate)
    assert have["number"] == "02" and have["entries"] == 1 and "No such file" in have["problem"]
    wait_for("bob's return", lambda: "bob" in identities(trio.gate), 30)
    assert "alice" not in identities(trio.gate)
    # A configuration with a list that cannot be is refused; the old one stays.
    trio.gate.configure(revocation={"lists": [{"file": trio.file, "issuer": "/nonexistent.crt"}]})
    done = trio.gate.reload(check=False)
    assert done.returncode == 1 and "issuer" in done.stderr
    assert the_list(trio.gate)["number"] == "02"
    # And the file comes back, in place, piece by piece.
    good = trio.lists.make(trio.bob.credential, number=6, encoding=PEM)
    with trio.file.open("wb") as file:
        for at in range(0, len(good), 200):
            file.write(good[at:at + 200])
            file.flush()
            time.sleep(0.05)
    wait_for("alice instead of bob", lambda: identities(trio.gate) == {"alice"}, 60)


def test_by_openssl(trio):
    """A list that `openssl ca -gencrl` made, whose signer the setting \"issuer\" names."""
    made = openssl_list(trio.pki, trio.directory / "openssl", trio.alice.credential)
    write(trio.file, made)
    wait_list(trio.gate, "a signer that is missing", problem=is_problem("whose certificate this node lacks", "issuer"))
    trio.gate.configure(revocation={"lists": [{"file": trio.file, "issuer": trio.pki.directory / "issuing.crt"}]})
    trio.gate.reload()
    wait_list(trio.gate, "the list of openssl", number="4d", entries=1, problem=None)
    wait_for("the end of alice's session", lambda: identities(trio.gate) == {"bob"}, 5)
    # Without the list, nobody is refused.
    trio.gate.settings["revocation"] = {}
    trio.gate.configure()
    trio.gate.reload()
    trio.alice.mutun("reauth")
    trio.alice.wait_up(30)


def test_url(world):
    """Fetched, asked for changes, and put up with whatever the server does."""
    lists = Lists(world.pki)
    gate_host = world.attach(world.add_host("gateway"))
    gate_host.forward()
    web = world.attach(world.add_host("web"))
    server = Server(web, world.directory / "web", web.outer4)
    server.serve(lists.make(), tag='"one"')
    source = {"url": server.url, "issuer": world.pki.directory / "issuing.crt", "refresh_min": 1, "refresh_max": 1}
    gate = world.gateway(host=gate_host, revocation={"lists": [source]})
    alice, bob = world.client("alice", gate), world.client("bob", gate)
    world.gate = gate
    world.start(gate, alice, bob)
    wait_list(gate, "the first list", number="01", entries=0, state="current", problem=None)
    wait_for("a 304", lambda: server.asked()[-1] == {"status": 304, "match": '"one"'}, 10)
    server.serve(lists.make(alice.credential), tag='"two"')
    wait_for("the end of alice's session", lambda: identities(gate) == {"bob"}, 10)
    good = lists.make(alice.credential, number=3)
    bad = [({"status": 500}, good, "500"), ({"status": 404}, good, "404"), ({"status": 302}, good, "redirects"),
           ({"claim": 65 << 20}, good, "larger"), ({"claim": 2 * len(good)}, good, "no answer"),
           ({}, lists.make(number=1), "number"), ({}, good[:-1], "cut short"), ({}, b"<html>", "no revocation list")]
    for plan, body, word in bad:
        server.serve(body, **plan)
        have = wait_list(gate, f"a problem with \"{word}\"", problem=is_problem(word), seconds=15)
        assert have["number"] == "02" and have["state"] == "current"
        assert identities(gate) == {"bob"}
    # A server that takes its time holds nobody up.
    server.serve(good, slow=0.004)
    wait_list(gate, "a list that trickles in", number="03", problem=None, seconds=30)
    # Gone for good: what was kept rules after a restart, too.
    server.stop()
    gate.stop()
    gate.start()
    assert the_list(gate)["number"] == "03"
    wait_list(gate, "a server that is gone", problem=is_problem("no answer"), seconds=15)
    wait_for("bob's return", lambda: identities(gate) == {"bob"}, 30)
    mark = gate.mark()
    alice.mutun("reauth")
    gate.wait_log(r"alice was revoked", since=mark, seconds=30)


def test_soft_and_hard(trio):
    """A list that nothing follows: by \"soft\" only who is named is out, by \"hard\" everybody, live sessions too."""
    def use(**options):
        trio.gate.configure(revocation={"lists": [{"file": trio.file} | options]})
        trio.gate.reload()
    use(mode="hard", grace=0)
    assert identities(trio.gate) == {"alice", "bob"}
    write(trio.file, trio.lists.make(trio.alice.credential, encoding=PEM, after=4))
    wait_for("the end of alice's session", lambda: identities(trio.gate) == {"bob"}, 3)
    wait_for("the end of bob's session", lambda: not identities(trio.gate), 15)
    trio.gate.wait_log(r"list .* late: nobody whom it might name is let in")
    trio.gate.wait_log(r"whether \S+/bob was revoked is not known: the list is")
    assert the_list(trio.gate)["state"] == "old"
    use(mode="hard", grace=3600)
    assert the_list(trio.gate)["state"] == "late"
    trio.bob.mutun("reauth")
    wait_for("bob, within the grace", lambda: identities(trio.gate) == {"bob"}, 30)
    mark = trio.gate.mark()
    use(mode="soft", grace=0)
    trio.gate.wait_log(r"late: who is not named by the last one is let in", since=mark)
    trio.alice.mutun("reauth")
    trio.gate.wait_log(r"alice was revoked", since=mark, seconds=30)
    assert identities(trio.gate) == {"bob"}
    # There never was one: a hard list keeps everybody out, and says so.
    use(mode="hard", file=trio.directory / "never.crl")
    wait_for("nobody", lambda: not identities(trio.gate), 10)
    assert the_list(trio.gate)["state"] == "unread"
    use(mode="soft", file=trio.directory / "never.crl")
    trio.alice.mutun("reauth")
    trio.bob.mutun("reauth")
    wait_for("both", lambda: identities(trio.gate) == {"alice", "bob"}, 30)


def test_client(world):
    """A client has lists, too: a gateway that was revoked is left."""
    lists = Lists(world.pki)
    file = world.directory / "corp.crl"
    write(file, lists.make(encoding=PEM))
    gate = world.gateway()
    alice = world.client("alice", gate, revocation={"lists": [{"file": file}]})
    world.start(gate, alice)
    write(file, lists.make(gate.credential, encoding=PEM))
    wait_for("the end of the session", lambda: not alice.sessions(), 5)
    wait_for("the reason", lambda: "was revoked" in str(alice.link()["last_error"]), 10)


def staged(trio, number):
    """A large list beside the file that is watched, and on disk: to write one is not what is measured. The last one names alice."""
    path = trio.directory / f"{number}.crl"
    with path.open("wb") as file:
        file.write(trio.lists.large(LARGE, *([trio.alice.credential] if number == LOADS + 1 else [])))
        file.flush()
        os.fsync(file.fileno())
    return path


def in_use(gate, number):
    have, = ask(gate, "status")["revocation"]["lists"]
    return have["number"] == f"{number:02x}" and not have["problem"]


def test_large(trio):
    """Lists of MUTUN_CRL_ENTRIES entries, loaded one after the other under traffic: nothing stands still, nothing grows."""
    gate = trio.gate
    before = resident_kb(gate.process)
    sizes, seconds = [], []
    inner = (trio.bob.host, trio.bob.inner()), (gate.host, gate.inner())
    files = [staged(trio, number) for number in range(2, LOADS + 2)]
    trio.gate.configure(revocation={"lists": [{"file": trio.file, "issuer": trio.pki.directory / "issuing.crt"}]})
    trio.gate.reload()
    with Probes(*inner) as idle, Loop(gate) as idle_loop:
        time.sleep(2)
    idle.stop()
    # The same path without the tunnel tells what the machine does by itself.
    outer = (trio.bob.host, trio.bob.host.outer4), (gate.host, gate.host.outer4)
    with Probes(*outer) as beside, Probes(*inner) as probes, Loop(gate) as loop:
        for number, file in enumerate(files, 2):
            size = file.stat().st_size
            os.replace(file, trio.file)
            begin = time.monotonic()
            wait_for(f"list {number}", lambda number=number: in_use(gate, number), 60)
            seconds.append(time.monotonic() - begin)
            sizes.append(resident_kb(gate.process))
        wait_for("the end of alice's session", lambda: identities(gate) == {"bob"}, 5)
    probes.expect_no_loss()
    beside.stop()
    have = the_list(gate)
    assert have["entries"] == LARGE + 1
    print(f"{LARGE} entries, {size} bytes: {min(seconds):.2f} to {max(seconds):.2f} s from the file to its use; "
          f"table {have['memory'] / (LARGE + 1):.1f} bytes an entry; resident {before} kB before, then {sizes} kB; "
          f"longest gap of probes {probes.longest_gap_ms():.1f} ms (outside the tunnel {beside.longest_gap_ms():.1f}, before "
          f"{idle.longest_gap_ms():.1f}); slowest answer of the "
          f"loop {loop.slowest_ms:.1f} ms of {loop.count} (before {idle_loop.slowest_ms:.1f})")
    noise = max(beside.longest_gap_ms(), idle.longest_gap_ms(), idle_loop.slowest_ms)
    assert probes.longest_gap_ms() < 50 * SLOW + 3 * noise, "packets stood still"
    assert loop.slowest_ms < 50 * SLOW + 3 * noise, "the loop stood still"
    if SLOW > 1:
        return  # a sanitizer keeps what is freed
    table_kb = have["memory"] / 1024
    assert sizes[-1] - before < 2.5 * table_kb + 8192, f"{sizes[-1] - before} kB more for a table of {table_kb:.0f} kB"
    assert sizes[-1] < sizes[1] + table_kb / 4 + 4096, f"it grows: {sizes}"
