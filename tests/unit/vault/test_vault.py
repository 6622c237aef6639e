"""The vault: what opens it, what it never shows, and how damage is told apart (rows 56, 57 of attacks.md)."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envelope_world import stream_of
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import KeyUse
from intelshare.crypto.suites import SUITE_1, SUITES, Context, verify_signature
from intelshare.errors import IntelshareError, StoreError
from intelshare.private_files import check_private, make_private_folder, write_private
from intelshare.trust import Founded, new_key
from intelshare.vault import (
    DEVELOPMENT,
    NODE_AUTHORITY,
    NODE_LEAF,
    STANDARD,
    USER_AUTHORITY,
    FileVault,
    Stretching,
    copy_of,
    create_vault,
    damaged_of,
    open_vault,
    passphrase_from_descriptor,
    passphrase_from_file,
    passphrase_from_prompt,
)
from intelshare.vault import format as layout
from trust_world import NOW, member

PASSPHRASE = b"six random words are easier"


@pytest.fixture(scope="module")
def founded() -> Founded:
    return member("FRA").founded


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vault" / "keys.vault"


def create(path: Path, founded: Founded, cost: Stretching = DEVELOPMENT) -> FileVault:
    return create_vault(
        path,
        PASSPHRASE,
        keys=founded.keys,
        certified={
            NODE_AUTHORITY: founded.node_authority,
            USER_AUTHORITY: founded.user_authority,
            NODE_LEAF: founded.node_leaf,
        },
        storage_key=founded.storage_key,
        suites=SUITES,
        random=os.urandom,
        cost=cost,
    )


def reopen(path: Path, passphrase: bytes = PASSPHRASE, *, allow_development: bool = True) -> FileVault:
    return open_vault(path, passphrase, suites=SUITES, random=os.urandom, allow_development=allow_development)


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(IntelshareError) as error:
        act()
    return error.value.code


def test_what_was_put_in_is_there_after_reopening(path: Path, founded: Founded) -> None:
    create(path, founded)
    vault = reopen(path)
    directory, signing, sealing = founded.keys
    for key in (directory, signing):
        signed = vault.signer(key.key_id).sign(b"message", Context.HELLO)
        verify_signature(SUITE_1, key.record.public, Context.HELLO, b"message", signed)
    box = SUITE_1.seal(sealing.record.public, b"info", b"k" * 32)
    assert vault.sealing_keys()[sealing.key_id].key.open(b"info", box) == b"k" * 32
    assert vault.storage_key() == founded.storage_key
    file = reopen(path)
    assert file.certified(NODE_AUTHORITY) == founded.node_authority
    assert file.certified(USER_AUTHORITY) == founded.user_authority
    assert file.certified(NODE_LEAF) == founded.node_leaf
    assert {k.key_id for k in file.held_keys()} == {k.key_id for k in founded.keys}


def test_a_standard_vault_costs_what_the_design_says_and_opens_without_permission(
    path: Path, founded: Founded
) -> None:
    assert (STANDARD.passes, STANDARD.memory) == (3, 256 * 1024)
    create(path, founded, STANDARD)
    assert reopen(path, allow_development=False).stretching == STANDARD


def test_a_development_vault_opens_only_where_development_is_allowed(path: Path, founded: Founded) -> None:
    create(path, founded)
    assert refused(lambda: reopen(path, allow_development=False)) == "KEYSTORE_DEVELOPMENT"


def test_a_short_passphrase_makes_no_real_vault(path: Path, founded: Founded) -> None:
    act = lambda: create_vault(  # noqa: E731
        path, b"short", keys=(), certified={}, storage_key=None, suites=SUITES, random=os.urandom
    )
    assert refused(act) == "KEYSTORE_PASSWORD"
    assert not path.exists()


def test_a_vault_is_never_written_over_another(path: Path, founded: Founded) -> None:
    create(path, founded)
    before = path.read_bytes()
    assert refused(lambda: create(path, founded)) == "ID_CONFLICT"
    assert path.read_bytes() == before


def test_row_56_looser_modes_are_refused_with_the_chmod_to_run(path: Path, founded: Founded) -> None:
    create(path, founded)
    for target, mode, good in ((path, 0o644, 0o600), (path.parent, 0o750, 0o700)):
        target.chmod(mode)
        with pytest.raises(IntelshareError) as error:
            reopen(path)
        assert error.value.code == "KEYSTORE_PERMISSIONS"
        assert error.value.hint == f"chmod {good:o} {target}"
        target.chmod(good)
    reopen(path)


def test_row_56_a_link_or_fifo_in_place_of_the_vault_is_refused(path: Path, founded: Founded) -> None:
    create(path, founded)
    moved = path.with_name("moved")
    path.rename(moved)
    path.symlink_to(moved)
    assert refused(lambda: reopen(path)) == "KEYSTORE_PERMISSIONS"
    path.unlink()
    os.mkfifo(path, 0o600)
    assert refused(lambda: reopen(path)) == "KEYSTORE_PERMISSIONS"
    path.unlink()
    copy_of(path).unlink()
    assert refused(lambda: reopen(path)) == "NOT_FOUND"


def test_row_56_a_wrong_passphrase_is_not_called_damage(path: Path, founded: Founded) -> None:
    create(path, founded)
    for wrong in (b"wrong passphrase", PASSPHRASE + b" ", b""):
        assert refused(lambda w=wrong: reopen(path, w)) == "KEYSTORE_PASSWORD"


def test_row_56_damage_is_not_called_a_wrong_passphrase(path: Path, founded: Founded) -> None:
    create(path, founded)
    whole = path.read_bytes()
    places = [*range(0, 60, 3), len(whole) // 2, len(whole) - 40, len(whole) - 1]
    damaged = [whole[:cut] for cut in (0, 1, 31, 32, 64, len(whole) // 2, len(whole) - 1)]
    damaged += [whole[:p] + bytes([whole[p] ^ 1]) + whole[p + 1 :] for p in places]
    damaged.append(whole + b"\0")
    for data in damaged:
        write_private(path, data)
        assert reopen(path).storage_key() == founded.storage_key, "the copy is whole"
        assert damaged_of(path) == (path,)
        write_private(copy_of(path), data)
        assert refused(lambda: reopen(path)) == "KEYSTORE_CORRUPT"
        write_private(copy_of(path), whole)
    write_private(path, whole)
    reopen(path)
    assert damaged_of(path) == ()


def test_a_node_whose_vault_has_a_flipped_bit_or_is_missing_starts_from_the_copy_and_mends_it(
    path: Path, founded: Founded
) -> None:
    create(path, founded)
    whole = path.read_bytes()
    for file in (path, copy_of(path)):
        for damage in (lambda f=file: f.write_bytes(bytes([whole[0] ^ 1]) + whole[1:]), file.unlink):
            damage()
            vault = reopen(path)
            assert vault.look(mend=True) == (file,)
            assert vault.look(mend=True) == ()
            assert path.read_bytes() == copy_of(path).read_bytes() == whole
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_copy_that_others_may_read_is_not_used(path: Path, founded: Founded) -> None:
    create(path, founded)
    path.unlink()
    copy_of(path).chmod(0o644)
    assert refused(lambda: reopen(path)) == "KEYSTORE_PERMISSIONS"


def test_what_is_put_in_destroyed_or_given_another_passphrase_is_so_in_both_files(
    path: Path, founded: Founded
) -> None:
    vault = create(path, founded)
    fresh = new_key(SUITE_1, KeyUse.SEALING, member("FRA").code, NOW, stream_of("fresh"))
    for change in (
        lambda: vault.put([fresh]),
        lambda: vault.retire([fresh.key_id]),
        lambda: vault.change_passphrase(b"another long passphrase", DEVELOPMENT),
    ):
        before = path.read_bytes()
        change()
        assert before != path.read_bytes() == copy_of(path).read_bytes()


def test_a_running_node_writes_nothing_over_another_vault_nor_onto_a_disk_that_is_not_the_vaults(
    path: Path, founded: Founded
) -> None:
    vault = create(path, founded)
    older = path.read_bytes()
    vault.put(certified={NODE_LEAF: founded.user_authority})
    newer = path.read_bytes()
    write_private(path, older)
    assert refused(lambda: vault.look(mend=True)) == "DATA_LOCKED"
    assert (path.read_bytes(), copy_of(path).read_bytes()) == (older, newer)
    path.unlink()
    copy_of(path).unlink()
    assert refused(lambda: vault.look(mend=True)) == "KEYSTORE_CORRUPT"
    assert refused(lambda: vault.look(mend=False)) == "KEYSTORE_CORRUPT"
    assert refused(lambda: vault.put(certified={NODE_LEAF: founded.node_leaf})) == "KEYSTORE_CORRUPT"
    assert list(path.parent.iterdir()) == []
    path.parent.rmdir()
    assert refused(lambda: vault.put(certified={NODE_LEAF: founded.node_leaf})) == "KEYSTORE_CORRUPT"
    vault.write_again()
    assert vault.look(mend=True) == ()
    assert path.read_bytes() == copy_of(path).read_bytes() == newer


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"damaged")])
def test_keys_that_only_the_copy_still_has_are_not_overwritten_by_who_opened_an_older_vault(
    path: Path, founded: Founded, harm: Callable[[Path], object]
) -> None:
    leads, follows = create(path, founded), reopen(path)
    leads.put(certified={NODE_LEAF: founded.user_authority})
    newer = path.read_bytes()
    harm(path)
    assert refused(lambda: follows.look(mend=True)) == "DATA_LOCKED"
    assert copy_of(path).read_bytes() == newer
    assert leads.look(mend=True) == (path,)
    assert path.read_bytes() == newer


def test_a_replica_takes_over_the_keys_that_another_one_has_made_and_destroyed(
    path: Path, founded: Founded
) -> None:
    leads, follows = create(path, founded), reopen(path)
    assert not follows.follow()
    fresh = [new_key(SUITE_1, use, member("FRA").code, NOW, stream_of("fresh")) for use in _MADE]
    (former,) = leads.sealing_keys()
    leads.put(fresh, {NODE_LEAF: founded.user_authority})
    leads.retire([former])
    assert follows.follow()
    assert not follows.follow()
    assert follows.held_keys() == leads.held_keys()
    assert set(follows.sealing_keys()) == {fresh[0].key_id}
    assert list(follows.retired()) == [former]
    assert follows.signer(fresh[1].key_id).key_id == fresh[1].key_id
    assert follows.certified(NODE_LEAF) == founded.user_authority
    follows.put(certified={NODE_LEAF: founded.node_leaf})  # it leads by now
    assert leads.follow()


_MADE = (KeyUse.SEALING, KeyUse.SIGNING)


def test_a_replica_takes_over_nothing_that_is_no_later_state_of_its_vault(
    path: Path, founded: Founded, tmp_path: Path
) -> None:
    fresh = new_key(SUITE_1, KeyUse.SEALING, member("FRA").code, NOW, stream_of("fresh"))
    vault = create(path, founded)
    without = path.read_bytes()
    vault.put([fresh])
    undestroyed = path.read_bytes()
    vault.retire([fresh.key_id])
    follows = reopen(path)
    vault.change_passphrase(PASSPHRASE, DEVELOPMENT)  # under another salt
    another = path.read_bytes()
    other = create(tmp_path / "other" / "keys.vault", founded)
    other.put([fresh])
    other.retire([fresh.key_id])
    for found in (without, undestroyed, another, (tmp_path / "other" / "keys.vault").read_bytes()):
        write_private(path, found)
        assert refused(follows.follow) == "DATA_LOCKED"
        assert follows.retired() == {fresh.key_id}
        assert path.read_bytes() == found


def test_a_replica_goes_back_to_no_earlier_state_though_certificates_alone_differ(
    path: Path, founded: Founded
) -> None:
    leads = create(path, founded)
    earlier = path.read_bytes()
    leads.put(certified={NODE_LEAF: founded.user_authority})
    follows, newer = reopen(path), path.read_bytes()
    write_private(path, earlier)
    aside = reopen(path)
    aside.put(certified={NODE_LEAF: founded.node_authority})
    for found in (earlier, path.read_bytes()):  # as old as ours, and another
        write_private(path, found)
        assert refused(follows.follow) == "DATA_LOCKED"
        assert follows.certified(NODE_LEAF) == founded.user_authority
    write_private(path, newer)
    assert not follows.follow()
    leads.put(certified={NODE_LEAF: founded.node_leaf})
    assert follows.follow()


def test_a_vault_of_root_keys_has_no_copy_that_would_stay_where_it_was(path: Path, founded: Founded) -> None:
    vault = create_vault(
        path, PASSPHRASE, keys=founded.keys[:1], certified={}, storage_key=None, suites=SUITES,
        random=os.urandom, cost=DEVELOPMENT,
    )  # fmt: skip
    vault.change_passphrase(b"another long passphrase", DEVELOPMENT)
    assert list(path.parent.iterdir()) == [path]


def resealed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


def test_a_forger_who_fixes_the_checksum_gains_nothing(path: Path, founded: Founded) -> None:
    create(path, founded)
    body = path.read_bytes()[:-32]
    passes, memory = slice(18, 22), slice(22, 26)
    for place, value, code in (
        (memory, (4 * 1024).to_bytes(4), "KEYSTORE_CORRUPT"),
        (memory, (0xFFFFFFFF).to_bytes(4), "KEYSTORE_CORRUPT"),
        (passes, (0).to_bytes(4), "KEYSTORE_CORRUPT"),
        (passes, (2).to_bytes(4), "KEYSTORE_PASSWORD"),
    ):
        forged = bytearray(body)
        forged[place] = value
        write_private(path, resealed(bytes(forged)))
        assert refused(lambda: reopen(path)) == code


def test_no_entry_can_be_removed_or_moved(path: Path, founded: Founded) -> None:
    create(path, founded)
    whole = path.read_bytes()
    body = decode(layout._Body, whole[:-32])
    for entries in (body.entries[:-1], body.entries[::-1], ()):
        forged = encode(layout._Body, layout._Body(body.header, body.seal, entries))
        write_private(path, resealed(forged))
        assert refused(lambda: reopen(path)) == "KEYSTORE_CORRUPT"


def test_a_new_key_is_durable_and_the_others_keep_their_ciphertext(path: Path, founded: Founded) -> None:
    vault = create(path, founded)
    before = path.read_bytes()
    fresh = new_key(SUITE_1, KeyUse.SEALING, member("FRA").code, NOW, stream_of("fresh"))
    vault.put([fresh])
    assert fresh.key_id in reopen(path).sealing_keys()
    assert before[200:2000] in path.read_bytes()


def test_a_renewed_leaf_replaces_the_old_one(path: Path, founded: Founded) -> None:
    vault = create(path, founded)
    vault.put(certified={NODE_LEAF: founded.user_authority})
    assert reopen(path).certified(NODE_LEAF) == founded.user_authority
    assert reopen(path).certified(NODE_AUTHORITY) == founded.node_authority


def test_a_retired_key_opens_nothing_for_ever_and_is_remembered(path: Path, founded: Founded) -> None:
    vault = create(path, founded)
    key = founded.keys[2]
    vault.retire([key.key_id, b"unknown"])  # type: ignore[list-item]
    for each in (vault, reopen(path)):
        assert key.key_id not in each.sealing_keys()
        assert each.retired() == {key.key_id}
    assert [k.retired for k in reopen(path).held_keys()] == [False, False, True]


def test_a_changed_passphrase_opens_and_the_old_one_does_not(path: Path, founded: Founded) -> None:
    create(path, founded).change_passphrase(b"another long passphrase", DEVELOPMENT)
    assert refused(lambda: reopen(path)) == "KEYSTORE_PASSWORD"
    assert reopen(path, b"another long passphrase").storage_key() == founded.storage_key


def test_nothing_secret_is_in_the_file_or_in_what_is_printed(path: Path, founded: Founded) -> None:
    vault = create(path, founded)
    data = path.read_bytes()
    shown = repr(founded) + repr(vault.__dict__) + repr(vault.held_keys())
    for secret in (PASSPHRASE, founded.storage_key, *(k.secret for k in founded.keys)):
        assert secret not in data
        assert secret[:16] not in data
        assert repr(secret)[2:30] not in shown
        assert secret.hex() not in shown
    assert b"PRIVATE KEY" not in data


def test_row_57_umask_000_still_makes_0700_and_0600(path: Path, founded: Founded) -> None:
    before = os.umask(0)
    try:
        create(path, founded).retire([])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {p: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()} == dict.fromkeys(
        (path, copy_of(path)), 0o600
    )


def test_row_57_a_data_folder_with_looser_modes_is_named_with_the_chmod(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    make_private_folder(folder)
    check_private(folder, StoreError, "DATA_PERMISSIONS")
    folder.chmod(0o755)
    with pytest.raises(StoreError) as error:
        check_private(folder, StoreError, "DATA_PERMISSIONS")
    assert (error.value.code, error.value.hint) == ("DATA_PERMISSIONS", f"chmod 700 {folder}")


def test_a_write_that_fails_leaves_the_old_vault(
    path: Path, founded: Founded, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = create(path, founded)
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        vault.retire([founded.keys[2].key_id])
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert founded.keys[2].key_id in vault.sealing_keys()
    assert set(path.parent.iterdir()) == {path, copy_of(path)}
    reopen(path)


def test_passphrases_come_from_private_files_descriptors_and_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "passphrase"
    write_private(file, PASSPHRASE + b"\r\nsecond line\n")
    assert passphrase_from_file(file) == PASSPHRASE
    file.chmod(0o640)
    assert refused(lambda: passphrase_from_file(file)) == "KEYSTORE_PERMISSIONS"
    assert refused(lambda: passphrase_from_file(tmp_path / "none")) == "KEYSTORE_PASSWORD"
    reader, writer = os.pipe()
    os.write(writer, PASSPHRASE + b"\n")
    os.close(writer)
    assert passphrase_from_descriptor(reader) == PASSPHRASE
    assert refused(lambda: passphrase_from_descriptor(reader)) == "KEYSTORE_PASSWORD"
    answers = iter(["one", "two", "same", "same", ""])
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    assert refused(lambda: passphrase_from_prompt(new=True)) == "KEYSTORE_PASSWORD"
    assert passphrase_from_prompt(new=True) == b"same"
    assert refused(lambda: passphrase_from_prompt(new=False)) == "KEYSTORE_PASSWORD"


@pytest.mark.parametrize("file", ["copy", "file"])
@pytest.mark.parametrize("step", ["open", "fsync", "rename", "fsync of the folder", "close"])
def test_a_change_of_passphrase_that_is_killed_leaves_the_old_or_the_new(
    path: Path, founded: Founded, step: str, file: str
) -> None:
    other = b"another long passphrase"
    vault = create(path, founded)
    child = os.fork()
    if child == 0:
        _die_before(step, 2 if file == "file" else 1)
        vault.change_passphrase(other, DEVELOPMENT)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    done = file == "file" and step in ("fsync of the folder", "close")
    holds, fails = (other, PASSPHRASE) if done else (PASSPHRASE, other)
    assert reopen(path, holds).storage_key() == founded.storage_key
    assert refused(lambda: reopen(path, fails)) == "KEYSTORE_PASSWORD"


_CALLS = {
    "open": (os, "open", 1, 3),
    "fsync": (os, "fsync", 1, 3),
    "fsync of the folder": (os, "fsync", 2, 3),
    "rename": (Path, "rename", 1, 1),
    "close": (os, "close", 1, 1),
}
"""Of each step: the call, which of the calls for one file it is, and how many there are for one."""


def _die_before(step: str, file: int) -> None:
    """In this process that call for the first or second file ends it, as SIGKILL from outside would."""
    place, name, one, each = _CALLS[step]
    call, calls, at = getattr(place, name), itertools.count(1), one + (file - 1) * each

    def counted(*given: Any, **options: Any) -> Any:
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*given, **options)

    pytest.MonkeyPatch().setattr(place, name, counted)
