"""The vault: private keys, the storage key and the authorities' keys in one encrypted file."""

from intelshare.crypto.stretch import DEVELOPMENT, STANDARD, Stretching
from intelshare.vault.copies import copy_of, damaged_of
from intelshare.vault.file import (
    FORMER_NODE_AUTHORITY,
    FORMER_USER_AUTHORITY,
    NODE_AUTHORITY,
    NODE_BRIDGE,
    NODE_LEAF,
    USER_AUTHORITY,
    FileVault,
    HeldKey,
    create_vault,
    is_development,
    open_vault,
)
from intelshare.vault.format import Entry, EntryKind, keeps_all
from intelshare.vault.passphrase import (
    passphrase_from_descriptor,
    passphrase_from_file,
    passphrase_from_prompt,
    passphrase_from_secrets,
    pin_from_prompt,
)
from intelshare.vault.token import KEY, Token, TokenPlace, open_token

__all__ = [
    "DEVELOPMENT",
    "FORMER_NODE_AUTHORITY",
    "FORMER_USER_AUTHORITY",
    "KEY",
    "NODE_AUTHORITY",
    "NODE_BRIDGE",
    "NODE_LEAF",
    "STANDARD",
    "USER_AUTHORITY",
    "Entry",
    "EntryKind",
    "FileVault",
    "HeldKey",
    "Stretching",
    "Token",
    "TokenPlace",
    "copy_of",
    "create_vault",
    "damaged_of",
    "is_development",
    "keeps_all",
    "open_token",
    "open_vault",
    "passphrase_from_descriptor",
    "passphrase_from_file",
    "passphrase_from_prompt",
    "passphrase_from_secrets",
    "pin_from_prompt",
]
