"""k of n: a root succeeded by the command line, each holder with a folder of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

from e2e.nodes import intelshare, ok


def test_two_of_three_holders_sign_the_next_root_by_file(tmp_path: Path) -> None:
    fra = tmp_path / "fra"
    ok("init", "FRA", fra, "--dev", "--root-keys", "3", "--threshold", "2")
    holders = [tmp_path / f"holder-{place}" for place in (1, 2, 3)]
    for holder in holders:
        # They leave the machine of the node, each alone.
        shutil.move(fra / "root-keys" / holder.name, holder)
    secret = ("--passphrase-file", fra / "passphrase")
    ok("trust", "root", "key", "FRA", tmp_path / "fourth", *secret)
    shown = ok("trust", "root", "show", "--folder", fra, "--json").json
    assert (shown["version"], shown["threshold"], len(shown["keys"])) == ("1", 2, 3)
    file = tmp_path / "root.json"
    proposed = ok(
        "trust", "root", "new", "--key", tmp_path / "fourth.pub", "--drop", shown["keys"][0][:16],
        "--new-directory-key", "--folder", fra, "--out", file,
    )  # fmt: skip
    assert "signatures missing: 2 of the current keys, 2 of the next ones" in proposed.out
    refused = intelshare("trust", "root", "publish", file, "--folder", fra)
    assert "TRUST_THRESHOLD" in refused.err
    assert "each holder: `intelshare trust root sign FILE --vault VAULT`" in refused.err
    asked = intelshare("trust", "root", "sign", file, "--vault", holders[1] / "vault", *secret)
    assert "USAGE" in asked.err, "it asks"
    for holder, left in ((holders[1], "1 of the current keys, 1 of the next ones"), (holders[2], "")):
        done = ok("trust", "root", "sign", file, "--vault", holder / "vault", "--yes", *secret)
        assert (left or "enough keys have signed") in done.out
    stranger = intelshare("trust", "root", "sign", file, "--vault", fra / "vault" / "keys", "--yes", *secret)
    assert "enough keys have signed" in stranger.out, "a vault without root keys signs nothing"
    ok("trust", "root", "publish", file, "--folder", fra)
    after = ok("trust", "root", "show", "--folder", fra, "--json").json
    assert after["version"] == "2"
    assert after["keys"][:2] == shown["keys"][1:]
    assert after["directory"] != shown["directory"]
    again = intelshare("trust", "root", "publish", file, "--folder", fra)
    assert again.code == 0, "what holds already changes nothing"


def test_root_keys_have_a_passphrase_of_their_own_and_keep_it(tmp_path: Path) -> None:
    files = {}
    for name in ("node", "root", "new"):
        files[name] = tmp_path / name
        files[name].write_text(f"correct horse battery {name}\n")
        files[name].chmod(0o600)
    fra = tmp_path / "fra"
    ok(
        "init", "FRA", fra, "--dev", "--root-keys", "2", "--passphrase-file", files["node"],
        "--root-passphrase-file", files["root"],
    )  # fmt: skip
    given = ("--passphrase-file", files["node"], "--new-passphrase-file", files["new"])
    changed = ok("vault", "passwd", "--folder", fra, *given)
    assert changed.err.count("has a different passphrase") == 2
    file, now = tmp_path / "root.json", ("--passphrase-file", files["new"])
    ok("trust", "root", "new", "--new-directory-key", "--folder", fra, "--out", file, *now)
    sign = ("trust", "root", "sign", file, "--vault", fra / "root-keys" / "holder-2" / "vault", "--yes")
    wrong = intelshare(*sign, *now)
    assert "KEYSTORE_PASSWORD" in wrong.err
    assert "enough keys have signed" in ok(*sign, "--passphrase-file", files["root"]).out
    ok("trust", "root", "publish", file, "--folder", fra, *now)
