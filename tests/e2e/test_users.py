"""People and their keys as they meet them: enrolment, renewal, change, revocation, by the real commands."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.nodes import expired_certificate, intelshare, ok, running
from intelshare.client.enrolment import read_enrolment, write_enrolment


@pytest.fixture(name="fra", scope="module")
def _fra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("users") / "fra"
    ok("init", "FRA", folder, "--dev")
    return folder


def whoami(profile: Path) -> int:
    return intelshare("whoami", "--as", profile).code


def test_an_enrolment_makes_a_profile_once_and_the_key_stays_with_its_user(fra: Path, tmp_path: Path) -> None:
    profile = tmp_path / "m.durand"
    with running(fra):
        made = ok("user", "add", "m.durand", "--folder", fra, "--clearance", "R3", "--elsewhere", "--json")
        file = Path(made.json["enrolment"])
        assert file.stat().st_mode & 0o777 == 0o600
        assert intelshare("whoami", "--as", profile).code == 8
        ok("enrol", file, "--out", profile)
        assert ok("whoami", "--as", profile, "--json").json["user"].endswith("/user/m.durand")
        assert (profile / "key.pem").read_text() not in file.read_text()
        again = intelshare("enrol", file, "--out", tmp_path / "thief")
        assert (again.code, "NOT_AUTHORISED" in again.err) == (4, True)
        assert "`intelshare user renew m.durand`" in again.err
        assert not (tmp_path / "thief").exists()
        assert whoami(profile) == 0

        # By order: another enrolment in the place of the one that has served, and nothing of before counts.
        ok("user", "renew", "m.durand", "--folder", fra, "--elsewhere")
        assert whoami(profile) == 4
        ok("enrol", file, "--out", profile)
        assert whoami(profile) == 0

        # Of one that has expired, too, it is said who makes another.
        ok("user", "add", "late", "--folder", fra, "--elsewhere", "--out", tmp_path / "late.enrol")
        made, given = expired_certificate(fra, "late"), read_enrolment(tmp_path / "late.enrol")
        write_enrolment(tmp_path / "late.enrol", replace(given, ticket=made.certificate + made.key))
        late = intelshare("enrol", tmp_path / "late.enrol", "--out", tmp_path / "late")
        assert ("TLS_REFUSED" in late.err, "`intelshare user renew late`" in late.err) == (True, True), late

        before = (profile / "key.pem").read_bytes(), (profile / "cert.pem").read_bytes()
        shutil.copytree(profile, tmp_path / "stolen")
        ok("renew", "--as", profile)
        assert before[0] != (profile / "key.pem").read_bytes()
        assert (whoami(tmp_path / "stolen"), whoami(profile)) == (4, 0)


def test_another_enrolment_brings_its_address_into_the_profile(fra: Path, tmp_path: Path) -> None:
    profile, gone = tmp_path / "b.clerk", "127.0.0.1:1"
    renew, names = ("user", "renew", "b.clerk", "--folder", fra), profile / "profile.toml"
    with running(fra):
        address = f"127.0.0.1:{json.loads((fra / 'run.json').read_bytes())['user_port']}"
        made = ok("user", "add", "b.clerk", "--folder", fra, "--elsewhere", "--address", address, "--json")
        ok("enrol", made.json["enrolment"], "--out", profile)
        for words in ("--here", "--out", profile), ("--elsewhere",):
            names.write_text(names.read_text().replace(address, gone))
            assert whoami(profile) == 6
            said = ok(*renew, "--address", address, *words)
            if words == ("--elsewhere",):
                said = ok("enrol", made.json["enrolment"], "--out", profile)
            assert f"at {gone}, and names it at {address} now" in said.err
            assert whoami(profile) == 0
        # Without an address nothing says that this one has become wrong.
        ok(*renew, "--here", "--out", profile)
        assert f'address = "{address}"' in names.read_text()
        assert whoami(profile) == 0


def test_the_default_profile_is_made_where_commands_look_for_it(fra: Path, tmp_path: Path) -> None:
    from e2e.nodes import PROGRAM
    from processes import clean_environment, finished

    home = clean_environment(HOME=str(tmp_path), XDG_CONFIG_HOME="")
    file = tmp_path / "x.enrol"
    with running(fra):
        ok("user", "add", "x.default", "--folder", fra, "--elsewhere", "--out", file)
        finished([*PROGRAM, "enrol", file], env=home, check=True)
        told = finished([*PROGRAM, "whoami"], env=home, cwd=tmp_path, check=True)
    assert "x.default" in told.out


def test_add_change_renew_revoke_and_restore_without_a_running_node(fra: Path, tmp_path: Path) -> None:
    ok("user", "add", "a.petit", "--folder", fra, "--clearance", "R2", "--category", "cyber")
    profile = fra / "users" / "a.petit"
    twice = intelshare("user", "add", "a.petit", "--folder", fra, "--out", tmp_path / "other")
    assert (twice.code, "user change" in twice.err) == (9, True)
    changed = ok("user", "change", "a.petit", "--folder", fra, "--clearance", "R1", "--yes")
    assert "clearance R2 becomes R1" in changed.out
    listed = ok("user", "list", "--folder", fra).out
    assert "cyber" in next(line for line in listed.splitlines() if "a.petit" in line)
    shutil.copytree(profile, tmp_path / "stolen")
    ok("user", "revoke", "a.petit", "--folder", fra, "--yes")
    for words in (["add", "a.petit", "--out", tmp_path / "other"], ["renew", "a.petit"]):
        assert intelshare("user", *words, "--folder", fra).code in (8, 9)
    ok("user", "restore", "a.petit", "--folder", fra, "--yes")
    with running(fra):
        shutil.copy(fra / "users" / "operator" / "profile.toml", tmp_path)
        stolen = (tmp_path / "stolen" / "profile.toml").read_text().replace("../..", str(fra))
        (tmp_path / "stolen" / "profile.toml").write_text(stolen)
        assert (whoami(profile), whoami(tmp_path / "stolen")) == (0, 4)


def test_a_request_that_other_tools_made_is_signed(fra: Path, tmp_path: Path) -> None:
    from processes import finished

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    request = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files = ["-subj", "/CN=d.vidal", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "d.csr"]
    finished([*request, *files], check=True)
    ok(
        "user",
        "add",
        "d.vidal",
        "--folder",
        fra,
        "--request",
        tmp_path / "d.csr",
        "--out",
        tmp_path / "cert.pem",
    )
    operator = fra / "users" / "operator"
    shutil.copy(operator / "ca.pem", tmp_path)
    text = (operator / "profile.toml").read_text().replace("operator", "d.vidal").replace("../..", str(fra))
    (tmp_path / "profile.toml").write_text(text)
    with running(fra):
        assert "d.vidal" in ok("whoami", "--as", tmp_path).out


def test_users_of_another_authority_by_the_real_commands(tmp_path: Path) -> None:
    """The operator's own certificate counts no longer, and folder and passphrase still do everything."""
    from cryptography import x509

    from other_authority import authority, issue

    fra = tmp_path / "fra"
    ok("init", "FRA", fra, "--dev")
    issuing = authority("MFA issuing", authority("MFA root"))
    (fra / "pki").mkdir(0o700)
    (fra / "pki" / "users.pem").write_bytes(issuing.pem)
    settings = fra / "node.toml"
    settings.write_text(
        settings.read_text().replace("# user_authority = ", 'user_authority = "pki/users.pem"')
    )
    leaf = issue(issuing, [x509.RFC822Name("m.durand@mfa.example")])
    for name, content in (("cert.pem", leaf.certificate), ("key.pem", leaf.key)):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    with running(fra):
        assert whoami(fra / "users" / "operator") in (4, 6)
        words = (
            "user",
            "add",
            "m.durand",
            "--folder",
            fra,
            "--subject",
            "email:m.durand@mfa.example",
            "--json",
        )
        file = ok(*words).json["enrolment"]
        without = intelshare("enrol", file, "--out", tmp_path / "m")
        assert "ISSUED_ELSEWHERE" in without.err
        given = ("--certificate", tmp_path / "cert.pem", "--key", tmp_path / "key.pem")
        ok("enrol", file, "--out", tmp_path / "m", *given)
        assert whoami(tmp_path / "m") == 0
        assert "email:m.durand@mfa.example" in ok("user", "list", "--folder", fra).out
        by_hand = intelshare("renew", "--as", tmp_path / "m")
        assert "ISSUED_ELSEWHERE" in by_hand.err


def test_what_a_restore_leaves_out_is_no_obstacle_to_letting_people_in_again(fra: Path) -> None:
    kept = (fra / "users").rename(fra.parent / "kept")
    try:
        made = ok("user", "renew", "operator", "--elsewhere", "--folder", fra, "--json").json["enrolment"]
        assert Path(made) == fra / "users" / "operator.enrol"
        assert (fra / "users").stat().st_mode & 0o777 == 0o700
    finally:
        shutil.rmtree(fra / "users", ignore_errors=True)
        kept.rename(fra / "users")
        ok("user", "renew", "operator", "--folder", fra)


def test_a_look_at_a_running_node_needs_no_certificate_and_a_stopped_one_asks_for_no_passphrase(
    fra: Path,
) -> None:
    looks = ("status", "peers", "queues", "drain")
    kept = (fra / "users" / "operator").rename(fra.parent / "operator")
    try:
        with running(fra):
            for look in looks:
                ok("node", look, "--folder", fra)
            ok("node", "drain", "--undo", "--folder", fra)
        phrase = (fra / "passphrase").rename(fra.parent / "phrase")
        for look in looks:
            refused = intelshare("node", look, "--folder", fra)
            assert (refused.code, "NODE_UNREACHABLE" in refused.err) == (6, True), refused
        phrase.rename(fra / "passphrase")
    finally:
        kept.rename(fra / "users" / "operator")


def test_whoever_revokes_the_last_operator_is_told_what_remains(tmp_path: Path) -> None:
    fra = tmp_path / "fra"
    ok("init", "FRA", fra, "--dev")
    folder, mine = ("--folder", fra), ("--as", fra / "users" / "operator")

    def node_says() -> list[dict[str, str]]:
        said = intelshare("doctor", *folder, "--json").json["findings"]
        return [one for one in said if one["check"] == "node"]

    with running(fra):
        ok("user", "add", "second", "--role", "operator", *folder)
        assert "is left" not in ok("user", "revoke", "second", "--yes", *folder).err
        told = ok("user", "revoke", "operator", "--yes", *mine).err
        assert "no operator is left" in told
        assert "`intelshare user restore operator --folder FOLDER`" in told
        assert "--role operator --folder FOLDER`" in told

        # Whoever has the passphrase looks as the owner, and the hint names what works.
        refused, *answers = node_says()
        assert (refused["code"], refused["next"]) == (
            "NOT_AUTHORISED",
            f"intelshare user restore operator --folder {fra}",
        )
        assert any("answers" in one["found"] for one in answers)
        (fra / "passphrase").rename(tmp_path / "phrase")
        (refused,) = node_says()
        assert refused["next"].endswith(f"revoked: intelshare user restore operator --folder {fra}")
        (tmp_path / "phrase").rename(fra / "passphrase")
        renewed = intelshare("user", "renew", "operator", *folder)
        assert "`intelshare user restore operator --folder" in renewed.err

        ok("user", "restore", "operator", "--yes", *folder)
        assert [one["state"] for one in node_says()] == ["ok"]
        told = ok("user", "change", "operator", "--role", "analyst", "--yes", *mine).err
        assert "no operator is left" in told
        ok("user", "change", "operator", "--role", "operator", "--yes", *folder)
        assert whoami(fra / "users" / "operator") == 0
