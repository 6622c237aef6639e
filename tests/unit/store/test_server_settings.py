"""What ``[store]`` of node.toml may say, and what of it is written back."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelshare.errors import ConfigError
from intelshare.ids import MemberCode, NodeUri
from intelshare.node.settings import Settings
from intelshare.node.settings_file import read_settings, with_store, write_settings
from intelshare.store.server import Server, wrong_schema, wrong_url

NODE = Settings(MemberCode("FRA"), NodeUri("intelshare://fra.example/node/one"))


def written(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "url",
    [
        "https://fra@db/rows",
        "postgresql://fra:secret@db/rows",
        "postgresql://fra@db/",
        "postgresql://fra@db/rows?sslmode=disable",
        "postgresql://fra@db/rows?password=x",
        "postgresql://fra@db/rows?options=-c%20fsync%3Doff",
        "postgresql://fra@db/rows#part",
    ],
)
def test_an_url_that_weakens_the_connection_or_holds_a_password_is_refused(tmp_path: Path, url: str) -> None:
    assert wrong_url(url) is not None
    text = write_settings(NODE) + f'\n[store]\nurl = "{url}"\n'
    with pytest.raises(ConfigError) as refused:
        read_settings(written(tmp_path, text))
    assert refused.value.code == "FIELD_RANGE"
    assert "secret" not in refused.value.message


@pytest.mark.parametrize("name", ["", "Fra", "1fra", "pg_fra", 'a"b', "f" * 41, "a-b", "ä"])
def test_a_schema_has_a_plain_name(name: str) -> None:
    assert wrong_schema(name) is not None


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql:///rows", "prefer"),
        ("postgresql://fra@/rows?host=/run/postgresql", "prefer"),
        ("postgresql://fra@127.0.0.1:5433/rows", "prefer"),
        ("postgresql://fra@[::1]:5432/rows", "prefer"),
        ("postgresql://fra@localhost/rows", "prefer"),
        ("postgresql://fra@db.example/rows", "verify-full"),
        ("postgresql://fra@127.0.0.1,db.example/rows", "verify-full"),
        ("postgresql://fra@127.0.0.1/rows?host=db.example", "verify-full"),
        ("postgresql://fra@192.0.2.1/rows", "verify-full"),
    ],
)
def test_the_certificate_of_a_server_is_checked_unless_it_is_on_this_machine(url: str, mode: str) -> None:
    assert wrong_url(url) is None
    assert Server(url).tls() == mode


def test_settings_with_a_server_are_written_and_read(tmp_path: Path) -> None:
    server = Server("postgresql://fra@db.example/rows", "fra", "secrets:database")
    text = with_store(write_settings(NODE), server)
    assert read_settings(written(tmp_path, text)).store == server
    assert with_store(text, None).rstrip() == write_settings(NODE).rstrip()
    other = Server("postgresql:///rows", "usa")
    assert read_settings(written(tmp_path, with_store(text, other))).store == other


def test_a_password_comes_from_a_private_file_and_is_in_nothing_that_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server("postgresql://fra@db.example/rows", password_file="database-password")
    with pytest.raises(ConfigError, match="NOT_FOUND"):
        server.password(tmp_path)
    (tmp_path / "database-password").write_text("hunter2\n")
    (tmp_path / "database-password").chmod(0o644)
    with pytest.raises(ConfigError, match="UNSAFE_FILE"):
        server.password(tmp_path)
    (tmp_path / "database-password").chmod(0o600)
    assert server.password(tmp_path) == "hunter2"
    assert "hunter2" not in repr(server)
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "db").write_text("mounted")
    (secrets / "db").chmod(0o400)
    monkeypatch.setenv("INTELSHARE_SECRETS", str(secrets))
    assert Server("postgresql:///rows", password_file="secrets:db").password(tmp_path) == "mounted"
