# SPDX-License-Identifier: Apache-2.0
"""`mutund --check`: every error at once, with file, line, setting, what was found and what is allowed."""

import pytest

from lib.host import run
from lib.node import binary

GOOD = """node: { certificate = "node.crt"; key = "node.key"; trust = "trust.crt"; };
interface: { name = "mutun0"; mtu = 1400; };
gateway: {
  listen = [ "0.0.0.0:443", "[::]:443" ];
  pools = [ "10.90.0.0/16", "fd90::/64" ];
  sites = ( { identity = "spiffe://corp.example/site/berlin"; networks = [ "10.30.0.0/16" ]; } );
};
links = ( { name = "hq"; to = [ "vpn.corp.example:443" ]; identity = "spiffe://corp.example/gateway/*"; } );
"""
BAD = """node: { certificate = "node.crt"; key = "node.key"; trust = "trust.crt"; };
interface: { name = "a-name-that-is-far-too-long"; mtu = 900; };
gateway: {
  listen = [ "0.0.0.0:99999" ];
  pools = [ "10.90.0.0/33" ];
  keepalive = "often";
  coffee = true;
};
links = ( { name = "hq"; to = [ ]; identity = "https://corp.example/"; } );
"""


def check(path):
    done = run(binary("mutund"), "--check", path, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def file(tmp_path):
    return tmp_path / "mutun.conf"


def test_good(file):
    file.write_text(GOOD)
    code, text = check(file)
    assert code == 0 and text.strip() == f"{file}: ok", text


def test_all_errors_at_once(file):
    file.write_text(BAD)
    code, text = check(file)
    assert code == 1, text
    expected = [(2, "interface.name", "a-name-that-is-far-too-long"), (2, "interface.mtu", "900"),
                (4, "gateway.listen", "99999"), (5, "gateway.pools", "10.90.0.0/33"), (6, "gateway.keepalive", "often"),
                (7, "coffee", ""), (9, "to", ""), (9, "identity", "https://corp.example/")]
    for line, setting, found in expected:
        assert any(f"{file}:{line}" in said and setting in said and found in said for said in text.splitlines()), \
            f"no error about {setting} in line {line} in:\n{text}"
    assert "1280" in text and "65000" in text, f"the range of interface.mtu is not named:\n{text}"


@pytest.mark.parametrize("text, word", [
    ("node: {", "1"), ("", "node"), ("node: { certificate = \"a\"; certificate = \"b\"; };", "duplicate setting"),
    (GOOD.replace("mtu = 1400", "mtu = 1400.5"), "mtu"), (GOOD + "node: { state = 5; };\n", ":9"),
    (GOOD.replace("10.90.0.0/16", "10.90.0.1/16"), "10.90.0.1/16"),
], ids=["syntax", "empty", "twice", "float", "group-twice", "host-bits"])
def test_one_error(file, text, word):
    file.write_text(text)
    code, said = check(file)
    assert code == 1 and word in said and str(file) in said, said


def test_missing_file(file):
    code, said = check(file)
    assert code == 1 and str(file) in said and "No such file" in said, said


def test_directory_of_parts(file):
    """mutun.d/*.conf beside mutun.conf belong to it, and errors name the part."""
    file.write_text(GOOD)
    parts = file.with_name("mutun.d")
    parts.mkdir()
    (parts / "10-log.conf").write_text("log: { level = \"debug\"; };\n")
    assert check(file)[0] == 0
    (parts / "20-bad.conf").write_text("\ninterface: { workers = 1000; };\n")
    code, said = check(file)
    assert code == 1 and f"{parts / '20-bad.conf'}:2" in said and "interface.workers" in said, said


def test_version_and_help():
    version = run(binary("mutund"), "--version").stdout
    assert "mutun" in version and version.strip()[-1].isdigit(), version
    assert "--check" in run(binary("mutund"), "--help").stdout
    assert run(binary("mutund"), "--no-such-option", check=False).returncode == 2
    assert "mutun ca issue" in run(binary("mutun"), "--help").stdout or "ca" in run(binary("mutun"), "--help").stdout
