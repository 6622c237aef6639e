"""A start notices a vault that is older than the newest that its node has had (decision 96)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from intelshare.cli.app import run
from intelshare.crypto.suites import SUITES
from intelshare.errors import StoreError
from intelshare.node.folder import Folder
from intelshare.node.sidecar import check_vault
from intelshare.private_files import write_private
from intelshare.store.sidecar import Sidecar, write_sidecar
from intelshare.vault import (
    DEVELOPMENT,
    NODE_AUTHORITY,
    NODE_LEAF,
    FileVault,
    copy_of,
    create_vault,
    open_vault,
)
from trust_world import member

OLD, NEW = b"a passphrase for tests", b"another passphrase for tests"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    founded = member("FRA").founded
    made = Folder(tmp_path / "data")
    made.root.mkdir(mode=0o700)
    create_vault(
        made.vault,
        OLD,
        keys=founded.keys,
        certified={NODE_AUTHORITY: founded.node_authority, NODE_LEAF: founded.node_leaf},
        storage_key=founded.storage_key,
        suites=SUITES,
        random=os.urandom,
        cost=DEVELOPMENT,
    )
    return made


def opened(folder: Folder, passphrase: bytes = OLD) -> FileVault:
    return open_vault(folder.vault, passphrase, suites=SUITES, random=os.urandom, allow_development=True)


def remember(folder: Folder, vault: FileVault) -> None:
    write_sidecar(folder.sidecar, Sidecar(7, 2, "00" * 32, clean=True, vault=vault.state))


def succeed(vault: FileVault) -> None:
    """Another authority issues: only certificates differ, and no key of a directory does."""
    vault.put(certified={NODE_AUTHORITY: member("USA").founded.node_authority})


def refusal(folder: Folder, passphrase: bytes = OLD) -> StoreError:
    with pytest.raises(StoreError) as refused:
        check_vault(folder, opened(folder, passphrase))
    assert refused.value.code == "STORE_FORGOT"
    assert "--accept-loss" in str(refused.value.hint)
    return refused.value


def put_back(folder: Folder) -> bytes:
    """Put the vault, but not its copy, back to before its last change; return it."""
    before = folder.vault.read_bytes()
    vault = opened(folder)
    succeed(vault)
    remember(folder, vault)
    write_private(folder.vault, before)
    return before


def test_a_vault_from_before_its_last_change_is_refused_and_the_copy_named_that_is_later(
    folder: Folder,
) -> None:
    """The node wrote the older one over that copy, and believed the authority that had been replaced."""
    before = put_back(folder)
    assert str(copy_of(folder.vault)) in str(refusal(folder).hint)
    write_private(copy_of(folder.vault), before)
    assert "put the newest one back" in str(refusal(folder).hint)


def test_a_vault_from_before_its_passphrase_was_changed_is_refused(folder: Folder) -> None:
    before = folder.vault.read_bytes()
    vault = opened(folder)
    succeed(vault)
    vault.change_passphrase(NEW, DEVELOPMENT)
    remember(folder, vault)
    check_vault(folder, opened(folder, NEW))
    for path in (folder.vault, copy_of(folder.vault)):
        write_private(path, before)
    refusal(folder)


def test_an_older_vault_gets_no_other_passphrase(
    folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one change more it passed for the newest."""
    before = put_back(folder)
    given = [tmp_path / "old", tmp_path / "new"]
    for path, passphrase in zip(given, (OLD, NEW), strict=True):
        write_private(path, passphrase + b"\n")
    words = ["--passphrase-file", str(given[0]), "--new-passphrase-file", str(given[1])]
    assert run(["vault", "passwd", "--folder", str(folder.root), *words]) == 7
    assert "STORE_FORGOT" in capsys.readouterr().err
    assert folder.vault.read_bytes() == before


@pytest.mark.parametrize("sidecar", ["lags", "is gone", "is damaged", "is from before"])
def test_a_vault_is_taken_of_which_nothing_newer_is_known(folder: Folder, sidecar: str) -> None:
    """A folder that was restored has no sidecar; one that lags, or cannot be read, tells nothing."""
    vault = opened(folder)
    remember(folder, vault)
    succeed(vault)
    if sidecar == "is gone":
        folder.sidecar.unlink()
    elif sidecar == "is damaged":
        write_private(folder.sidecar, b"{")
    elif sidecar == "is from before":
        write_sidecar(folder.sidecar, Sidecar(7, 2, "00" * 32, clean=True))
    check_vault(folder, opened(folder))


def test_a_replica_that_has_opened_the_vault_before_it_was_changed_takes_the_change_over(
    folder: Folder,
) -> None:
    joins, leads = opened(folder), opened(folder)
    succeed(leads)
    remember(folder, leads)
    check_vault(folder, joins)
    assert joins.state == leads.state
