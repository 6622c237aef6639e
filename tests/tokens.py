"""A token in software (SoftHSM 2) for tests, if it is installed."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from intelshare.vault import TokenPlace

PIN = "1234-and-more"


@functools.cache
def process_token() -> TokenPlace:
    """The one token of this process, because a module sees no later one.

    Skips the test where SoftHSM, or the extra, is not installed.
    """
    places = [
        *Path("/usr/lib").glob("**/softhsm/libsofthsm2.so"),
        *Path("/usr/local/lib").glob("**/libsofthsm2.so"),
    ]
    if not places or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM 2 is not installed here: signing keys in a token were not tried")
    if find_spec("pkcs11") is None:
        pytest.skip("the extra pkcs11 is not installed: signing keys in a token were not tried")
    _home()
    label = f"token-{os.getpid()}"
    words = ["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", f"so-{PIN}"]
    subprocess.run(["softhsm2-util", *words], check=True, capture_output=True)
    return TokenPlace(str(places[0]), label)


def _home() -> None:
    """Where tokens are, of this process and those it starts."""
    folder = Path(tempfile.mkdtemp(prefix="tokens-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(settings)
