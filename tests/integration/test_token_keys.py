"""Halves of signatures that a token makes (SoftHSM 2)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from intelshare.crypto.records import KeyUse
from intelshare.crypto.stretch import DEVELOPMENT
from intelshare.crypto.suites import SUITES, Context, verify_signature
from intelshare.errors import CryptoError, VaultError
from intelshare.ids import MemberCode, NodeUri
from intelshare.instant import Instant
from intelshare.trust.keys import SecretKey, new_key
from intelshare.vault import FileVault, Token, create_vault, open_token, open_vault
from tokens import PIN, process_token

NODE = NodeUri("intelshare://fra.example/node/one")


@pytest.fixture
def token() -> Iterator[Token]:
    opened = open_token(process_token(), PIN.encode())
    yield opened
    opened.close()


def made(token: Token, suite: int) -> SecretKey:
    first = token.make(suite)
    return new_key(
        SUITES[suite], KeyUse.SIGNING, MemberCode("FRA"), Instant(1 << 50), os.urandom, node=NODE, first=first
    )


def vault_with(path: Path, key: SecretKey, token: Token | None) -> FileVault:
    create_vault(
        path,
        b"x",
        keys=[key],
        certified={},
        storage_key=None,
        suites=SUITES,
        random=os.urandom,
        cost=DEVELOPMENT,
    )
    return open_vault(path, b"x", suites=SUITES, random=os.urandom, allow_development=True, token=token)


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_a_signature_of_two_halves_verifies_as_any_other(tmp_path: Path, token: Token, suite: int) -> None:
    key = made(token, suite)
    signer = vault_with(tmp_path / "vault" / "keys", key, token).signer(key.key_id)
    for number in range(16):  # of two values that P-384 allows for s, tokens give either
        message = bytes([number])
        signed = signer.sign(message, Context.BATCH)
        verify_signature(SUITES[suite], key.record.public, Context.BATCH, message, signed)
    signature = signer.sign(b"message", Context.BATCH)
    verify_signature(SUITES[suite], key.record.public, Context.BATCH, b"message", signature)
    half = len(signature) - 1
    for place in (0, half):
        wrong = bytearray(signature)
        wrong[place] ^= 1
        with pytest.raises(CryptoError, match="SIGNATURE_INVALID"):
            verify_signature(SUITES[suite], key.record.public, Context.BATCH, b"message", bytes(wrong))


def test_a_vault_without_its_token_signs_nothing_and_keeps_what_it_has(tmp_path: Path, token: Token) -> None:
    key, path = made(token, 1), tmp_path / "vault" / "keys"
    alone = vault_with(path, key, None)
    with pytest.raises(VaultError, match="NOT_FOUND"):
        alone.signer(key.key_id)
    assert [held.key_id for held in alone.held_keys() if not held.retired] == [key.key_id]
    alone.change_passphrase(b"y", DEVELOPMENT)
    whole = open_vault(path, b"y", suites=SUITES, random=os.urandom, allow_development=True, token=token)
    assert whole.signer(key.key_id).sign(b"m", Context.HELLO)


def test_a_retired_key_is_gone_from_the_token(tmp_path: Path, token: Token) -> None:
    key = made(token, 1)
    vault = vault_with(tmp_path / "vault" / "keys", key, token)
    vault.retire([key.key_id])
    with pytest.raises(VaultError, match="NOT_FOUND"):
        token.signing(1, key.record.public[:32])
    assert [held.retired for held in vault.held_keys()] == [True]


def test_several_threads_sign_at_once(tmp_path: Path, token: Token) -> None:
    key = made(token, 1)
    signer = vault_with(tmp_path / "vault" / "keys", key, token).signer(key.key_id)
    wrong: list[BaseException] = []

    def sign(number: int) -> None:
        try:
            for part in range(20):
                message = bytes([number, part])
                signature = signer.sign(message, Context.BATCH)
                verify_signature(SUITES[1], key.record.public, Context.BATCH, message, signature)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=sign, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_token_that_stops_signing_is_told_once_and_once_that_it_signs_again() -> None:
    pkcs11 = pytest.importorskip("pkcs11")
    answers = [False, False, True, True, False, True]
    told: list[str] = []
    token = Token(None, "of a test")
    token.tell = told.append

    def half(message: bytes) -> bytes:
        if not answers.pop(0):
            raise pkcs11.DeviceError("away")
        return message

    token.try_again()
    assert len(answers) == 6, "a token that works is not tried"
    for _ in range(2):
        with pytest.raises(VaultError, match="TOKEN_FAILED"):
            token._sign(half, b"m")
    assert told == ["TOKEN_FAILED"]
    token.try_again()
    assert told == ["TOKEN_FAILED", ""]
    assert token._sign(half, b"m") == b"m"
    with pytest.raises(VaultError, match="TOKEN_FAILED"):
        token._sign(half, b"m")
    assert token._sign(half, b"m") == b"m"
    assert told == ["TOKEN_FAILED", "", "TOKEN_FAILED", ""]


def test_a_wrong_pin_and_a_token_that_is_not_there_are_said(tmp_path: Path) -> None:
    place = process_token()
    with pytest.raises(VaultError, match=r"KEYSTORE_PASSWORD.*PinIncorrect"):
        open_token(place, b"wrong-pin")
    with pytest.raises(VaultError, match="NOT_FOUND"):
        open_token(replace(place, token="elsewhere"), PIN.encode())
    with pytest.raises(VaultError, match="TOKEN_FAILED"):
        open_token(replace(place, module=str(tmp_path / "no-module.so")), PIN.encode())
