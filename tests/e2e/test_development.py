"""A folder for development is told from one for production, and becomes one by one command."""

from __future__ import annotations

from pathlib import Path

from e2e.nodes import PROGRAM, intelshare, ok, running
from processes import clean_environment, finished


def folder_findings(folder: Path, **environment: str) -> list[dict[str, str]]:
    done = finished([*PROGRAM, "doctor", "--folder", folder, "--json"], env=clean_environment(**environment))
    import json

    return [one for one in json.loads(done.out)["findings"] if one["check"] in ("folder", "root keys")]


def test_a_production_run_refuses_a_development_folder_until_it_is_converted(tmp_path: Path) -> None:
    fra = tmp_path / "fra"
    assert "node run --folder" in ok("init", "FRA", fra, "--dev").err
    refused = intelshare("node", "run", "--folder", fra)
    assert (refused.code, "error[KEYSTORE_DEVELOPMENT]" in refused.err) == (1, True)
    assert "--dev" in refused.err
    assert "vault passwd" in refused.err
    assert "for development" in folder_findings(fra)[0]["found"]

    secrets = tmp_path / "secrets"
    secrets.mkdir(0o700)
    (secrets / "passphrase").write_text("correct horse battery staple\n")
    (secrets / "passphrase").chmod(0o440)
    short = tmp_path / "short"
    short.write_text("too short\n")
    short.chmod(0o600)
    words = ("vault", "passwd", "--folder", fra, "--new-passphrase-file")
    assert "KEYSTORE_PASSWORD" in intelshare(*words, short).err
    new = tmp_path / "new"
    new.write_text((secrets / "passphrase").read_text())
    new.chmod(0o600)
    with running(fra):
        assert "DATA_LOCKED" in intelshare(*words, new).err
    ok(*words, new)
    assert not (fra / "passphrase").exists()
    found = folder_findings(fra)
    assert "for production" in found[0]["found"]
    told = [(one["check"], one["state"]) for one in found]
    assert told == [("folder", "ok"), ("folder", "warning"), ("root keys", "warning")]
    assert "KEYSTORE_PASSWORD" in intelshare("node", "run", "--folder", fra).err

    # The secret comes by the door for platforms.
    done = finished(
        [*PROGRAM, "user", "add", "m.durand", "--folder", fra],
        env=clean_environment(INTELSHARE_SECRETS=str(secrets)),
        check=True,
    )
    assert "enrolment" in done.out, "in production the key is made by its user"
