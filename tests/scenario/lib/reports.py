# SPDX-License-Identifier: Apache-2.0
"""What sanitizers report, of whatever programme a test starts: into files, so that neither a log that nobody reads nor a failure
that the test expects hides one."""

import os
import shutil
import tempfile
from pathlib import Path

from lib.host import Failed

# gcc's UBSan writes to stderr, whatever it is told, where AddressSanitizer is linked, too: it aborts, which the latter reports.
OPTIONS = {"ASAN": "handle_abort=1", "TSAN": "handle_abort=1", "UBSAN": "abort_on_error=1"}


class Reports:
    def __init__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="mutun-t-reports-"))
        self.read = {}  # by file, how much of it: a running programme may go on writing
        for runtime, option in OPTIONS.items():
            name = f"{runtime}_OPTIONS"
            asked = [os.environ[name]] if os.environ.get(name) else []
            os.environ[name] = ":".join([*asked, option, f"log_path={self.directory / 'report'}"])

    def check(self):
        """Raises what was reported since the last time."""
        found = []
        for path in sorted(self.directory.iterdir()):
            text = path.read_bytes()
            if len(text) > self.read.get(path, 0):
                found.append(f"--- {path.name}\n{text[self.read.get(path, 0):].decode(errors='replace')}")
                self.read[path] = len(text)
        if found:
            raise Failed("\n".join(["a sanitizer reports:", *found]))

    def close(self):
        try:
            self.check()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)
