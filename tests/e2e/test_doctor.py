"""`doctor` and `config show`: what is wrong is named with its remedy, and every value with its origin."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from e2e.nodes import PROGRAM, copied, intelshare, ok, running
from intelshare.cli.app import run
from intelshare.store.sidecar import read_sidecar, write_sidecar
from processes import clean_environment, finished
from rot import rot, spoil


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doctor") / "fra"
    ok("init", "FRA", folder, "--dev")
    return folder


def findings(*words: str | Path) -> tuple[int, list[dict[str, str]]]:
    done = intelshare("doctor", *words, "--json")
    document = json.loads(done.out)
    assert document["schema"] == "intelshare/doctor/1"
    return done.code, document["findings"]


def about(found: list[dict[str, str]], check: str) -> list[dict[str, str]]:
    return [one for one in found if one["check"] == check]


def test_a_healthy_node_has_nothing_wrong(founded: Path) -> None:
    with running(founded):
        code, found = findings("--folder", founded, "--as", founded / "users" / "operator")
    assert code == 0, found
    assert [one["check"] for one in found if one["state"] != "ok"] == ["links"]
    assert {"installation", "profile", "certificate", "node", "policy", "memory"} <= {
        o["check"] for o in found
    }


def test_everything_wrong_is_said_at_once_and_has_a_remedy(founded: Path, tmp_path: Path) -> None:
    (founded / "treaties" / "bad.toml").write_text('id = "bad"\nnonsense = 1\n')
    founded.chmod(0o755)
    try:
        code, found = findings("--folder", founded, "--as", tmp_path / "nowhere")
    finally:
        (founded / "treaties" / "bad.toml").unlink()
        founded.chmod(0o700)
    assert code == 1
    wrong = {one["check"]: one for one in found if one["state"] == "wrong"}
    assert wrong["profile"]["code"] == "NOT_FOUND"
    assert wrong["folder"]["code"] == "DATA_PERMISSIONS"
    assert "bad.toml" in wrong["policy"]["found"]
    assert all(one["next"] for one in wrong.values())


def test_a_flipped_bit_in_a_profile_or_in_the_name_of_the_node_is_said_with_what_helps(
    founded: Path, tmp_path: Path
) -> None:
    operator, settings = founded / "users" / "operator", founded / "node.toml"
    helps = f"intelshare user renew operator --folder {founded} --here --out "
    with running(founded):
        for name in ("ca.pem", "cert.pem", "profile.toml"):
            profile = tmp_path / name
            shutil.copytree(operator, profile)
            text = (profile / "profile.toml").read_text().replace("../..", str(founded))
            (profile / "profile.toml").write_text(text)
            changed = bytearray((profile / name).read_bytes())
            if name == "profile.toml":
                changed[text.index("node-1")] ^= 2
            else:  # another letter of base64, and never the end of a line
                place = changed.rindex(b"\n", 0, len(changed) // 2) + 9
                changed[place] = ord("A") if changed[place] != ord("A") else ord("Q")
            (profile / name).write_bytes(changed)
            # Which check meets it depends on the byte: a certificate may still be one.
            wrong = [one for one in findings("--as", profile)[1] if one["state"] == "wrong"]
            assert "TLS_REFUSED" in {one["code"] for one in wrong}, wrong
            assert {one["next"] for one in wrong} == {f"{helps}{profile}"}
    kept = settings.read_text()
    settings.write_text(kept.replace("/node-1", "/node-3"))
    try:
        (wrong,) = about(findings("--folder", founded)[1], "folder")
    finally:
        settings.write_text(kept)
    assert (wrong["code"], "BACKUP/folder/node.toml" in wrong["next"]) == ("ID_CONFLICT", True)


def test_a_node_that_runs_is_found_however_long_doctor_takes(
    founded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.time_ns()
    readings = iter([began])
    monkeypatch.setattr(time, "time_ns", lambda: next(readings, began + 20_000_000_000))
    sign = {"pid": 1, "host": "", "user_port": 0, "peer_port": 0, "node": "", "incarnation": ""}
    at = began // 1000 + 20_000_000
    (founded / "run.json").write_text(json.dumps({**sign, "health": "SERVING", "at": at}))
    try:
        run(["doctor", "--folder", str(founded), "--as", str(founded / "users" / "operator"), "--json"])
    finally:
        (founded / "run.json").unlink()
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [one["state"] for one in about(found, "process")] == ["ok"], found


def test_the_room_that_is_needed_is_what_the_node_waits_for(
    founded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intelshare.cli.operator.doctor import _room
    from intelshare.node.settings_file import read_settings

    space = read_settings(founded / "node.toml").space
    free = shutil.disk_usage(founded)._replace(free=space.low + space.reserve // 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    reserve, settings = founded / "reserve", founded / "node.toml"
    reserve.unlink(missing_ok=True)  # it has been given up
    need = (space.low + space.reserve) >> 20
    assert _room(founded).remedy.startswith(f"free some space: {need} MiB are needed")
    reserve.write_bytes(bytes(space.reserve))
    assert _room(founded).state == "ok"
    reserve.unlink()
    kept = settings.read_bytes()
    settings.write_bytes(b"\0")
    try:
        assert _room(founded).state == "ok", "what it needs is not known"
    finally:
        settings.write_bytes(kept)


def test_a_file_system_that_is_read_only_is_said(founded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from intelshare.cli.operator.doctor import _room

    found = os.statvfs(founded)
    flags = [*found[:8], found.f_flag | os.ST_RDONLY, found.f_namemax, found.f_fsid]
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(flags))
    assert (_room(founded).state, _room(founded).code) == ("wrong", "DISK_ERROR")
    assert "read-only" in _room(founded).found


def test_an_expired_certificate_is_wrong_and_said_in_days(founded: Path) -> None:
    from intelshare.cli.operator.doctor_profile import _certificate
    from intelshare.client import read_profile
    from intelshare.instant import DAY, Instant

    path = read_profile(founded / "users" / "operator")
    year_3000 = Instant(32_503_680_000_000_000)
    found = _certificate(path, year_3000)
    assert (found.state, found.code) == ("wrong", "TLS_REFUSED")
    assert found.remedy == f"intelshare user renew operator --folder {founded}"
    early = _certificate(path, Instant(DAY))
    assert early.code == "CLOCK"
    assert early.remedy.endswith(f"intelshare user renew operator --folder {founded}")


def test_a_key_that_is_not_the_certificates_is_found(founded: Path, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    shutil.copytree(founded / "users" / "operator", profile)
    (profile / "key.pem").write_text("garbage")
    wrong = intelshare("doctor", "--as", profile, "--json")
    assert wrong.code == 1
    found = [one for one in wrong.json["findings"] if one["check"] == "key"]
    assert [one["code"] for one in found] == ["TLS_REFUSED"]
    assert not [one for one in ok_findings(founded) if one["check"] == "key"]


def ok_findings(folder: Path) -> list[dict[str, str]]:
    """What doctor says of the operator's own profile; the node need not run."""
    found: list[dict[str, str]] = intelshare("doctor", "--as", folder / "users" / "operator", "--json").json[
        "findings"
    ]
    return found


def test_a_lost_database_is_found_while_nothing_runs(founded: Path) -> None:
    with running(founded):
        pass
    kept = founded.parent / "kept.db"
    (founded / "intelshare.db").rename(kept)
    try:
        code, found = findings("--folder", founded)
    finally:
        kept.rename(founded / "intelshare.db")
    assert code == 1
    assert about(found, "memory")[0]["code"] == "STORE_FORGOT"
    (founded / "vault" / "keys").rename(kept)
    try:
        _, found = findings("--folder", founded)
    finally:
        kept.rename(founded / "vault" / "keys")
    assert any("vault/keys is damaged or missing" in one["found"] for one in about(found, "folder"))
    (founded / "vault").rename(kept)
    try:
        _, found = findings("--folder", founded)
    finally:
        kept.rename(founded / "vault")
    (folder,) = about(found, "folder")
    assert folder["code"] == "NOT_FOUND"
    assert "node restore" in folder["next"]


def test_doctor_judges_memory_as_the_start_does(founded: Path, tmp_path: Path) -> None:
    copy, older = tmp_path / "copy", tmp_path / "older"
    ok("init", "FRA", copy, "--dev")
    with running(copy):
        pass
    shutil.copytree(copy, older)
    with running(copy):
        code, found = findings("--folder", copy)
        assert about(found, "memory")[0]["state"] == "ok", found
    found = findings("--folder", copy)[1]
    assert about(found, "memory")[0]["state"] == "ok"
    assert about(found, "process")[0]["next"] == f"intelshare node run --folder {copy} --dev"
    known = read_sidecar(copy / "sidecar")
    assert known is not None
    write_sidecar(copy / "sidecar", replace(known, vault=known.vault + 1))
    found = findings("--folder", copy)[1]
    (older_vault,) = about(found, "memory")
    proposed = [about(found, check)[0]["next"] for check in ("node", "process")]
    assert proposed == ["not yet: first see memory"] * 2, "a start would be refused"
    assert (older_vault["code"], "the vault is older" in older_vault["found"]) == ("STORE_FORGOT", True)
    write_sidecar(copy / "sidecar", known)
    for name in ("intelshare.db", "intelshare.db-wal", "intelshare.db-shm"):
        (copy / name).unlink(missing_ok=True)
        if (older / name).exists():
            shutil.copy(older / name, copy / name)
    code, found = findings("--folder", copy)
    assert (code, about(found, "memory")[0]["code"]) == (1, "STORE_FORGOT")
    refused = intelshare("node", "run", "--dev", "--folder", copy)
    assert refused.code == 7
    assert about(found, "memory")[0]["found"] in refused.err


def test_a_damaged_record_is_found_by_reading_everything(founded: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copied(founded, copy)
    assert about(findings("--folder", copy, "--deep")[1], "records")[0]["state"] == "ok"
    rot(copy / "intelshare.db", "user")
    said = about(findings("--folder", copy, "--deep")[1], "records")[0]
    assert (said["state"], "nothing is lost" in said["next"]) == ("wrong", True), "one flipped bit"
    database = sqlite3.connect(copy / "intelshare.db")
    database.execute("UPDATE user SET _record = zeroblob(length(_record))")
    database.commit()
    database.close()
    code, found = findings("--folder", copy, "--deep")
    assert code == 1
    assert about(found, "records")[0]["code"] == "RECORD_CORRUPT"


def test_a_damaged_row_is_not_named_if_the_journal_has_a_newer_one(founded: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copied(founded, copy)
    with running(copy) as node:
        ok("user", "change", "operator", "--category", "*", "--yes", "--folder", copy)
        node.kill()
        node.wait()
    spoil(copy / "intelshare.db", "user", 0)
    code, found = findings("--folder", copy, "--deep")
    assert about(found, "records")[0]["state"] == "ok", found
    # Without the passphrase nobody can tell, and what would tell it is said.
    (copy / "passphrase").rename(tmp_path / "passphrase")
    code, found = findings("--folder", copy, "--deep")
    damaged = about(found, "records")[0]
    assert (code, damaged["state"], damaged["code"]) == (1, "wrong", "RECORD_CORRUPT")
    assert "--passphrase-file" in damaged["next"]


def settings(*words: str | Path, **environment: str) -> dict[str, dict[str, Any]]:
    words = ("config", "show", "--json", *words)
    done = finished([*PROGRAM, *words], check=True, env=clean_environment(**environment))
    return {one["name"]: one for one in json.loads(done.out)["settings"]}


def test_config_says_what_set_each_value(founded: Path) -> None:
    profile = str(founded / "users" / "operator")
    assert settings("--as", profile)["profile"]["origin"] == "--as"
    found = settings("--folder", founded, INTELSHARE_PROFILE=profile)
    assert found["profile"]["origin"] == "INTELSHARE_PROFILE"
    assert found["member"]["value"] == "FRA"
    assert found["node advertise"]["origin"] == "default"
    assert found["node allow loopback peers"] == {
        "name": "node allow loopback peers",
        "value": "true",
        "origin": str(founded / "node.toml"),
    }
    assert settings(INTELSHARE_FOLDER=str(founded))["data folder"]["origin"] == "INTELSHARE_FOLDER"


def test_a_restored_folder_is_told_apart_and_what_its_node_waits_for_is_said_without_a_profile(
    founded: Path, tmp_path: Path
) -> None:
    backup, again = tmp_path / "backup", tmp_path / "again"
    ok("node", "backup", backup, "--folder", founded)
    ok("node", "restore", backup, again)
    memory = about(findings("--folder", again)[1], "memory")[0]
    assert memory["state"] == "warning"
    assert "not started since" in memory["found"]
    with running(again):
        code, found = findings("--folder", again)
        (process,) = about(found, "process")
    assert code == 1
    assert (process["state"], process["code"]) == ("wrong", "ACCESS_WAITS")
    assert "confirm-access" in process["next"]
