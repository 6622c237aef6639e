"""Trust: who may sign, dial and be sealed to, from documents that members sign and exchange."""

from intelshare.trust.documents import (
    DIRECTORY_LIFETIME,
    DirectoryDocument,
    DirectoryNode,
    Endpoint,
    Ratified,
    Revocation,
    Revoked,
    RootDocument,
    Why,
    read_directory,
    read_root,
    sign_directory,
    sign_root,
)
from intelshare.trust.fingerprint import fingerprint
from intelshare.trust.founding import Founded, Founding, create_member, node_uri, user_uri
from intelshare.trust.hello import (
    Channel,
    DocumentVersions,
    HelloPayload,
    PeerHello,
    Pending,
    answer_hello,
    check_answer,
    check_confirmation,
    confirm_hello,
    open_hello,
)
from intelshare.trust.keys import Due, SecretKey, due, new_key
from intelshare.trust.member_file import MemberFile, documents_of, read_member_file, write_member_file
from intelshare.trust.renewal import renew_directory, renew_root
from intelshare.trust.rules import MemberTrust
from intelshare.trust.view import Change, Peer, TrustView

__all__ = [
    "DIRECTORY_LIFETIME",
    "Change",
    "Channel",
    "DirectoryDocument",
    "DirectoryNode",
    "DocumentVersions",
    "Due",
    "Endpoint",
    "Founded",
    "Founding",
    "HelloPayload",
    "MemberFile",
    "MemberTrust",
    "Peer",
    "PeerHello",
    "Pending",
    "Ratified",
    "Revocation",
    "Revoked",
    "RootDocument",
    "SecretKey",
    "TrustView",
    "Why",
    "answer_hello",
    "check_answer",
    "check_confirmation",
    "confirm_hello",
    "create_member",
    "documents_of",
    "due",
    "fingerprint",
    "new_key",
    "node_uri",
    "open_hello",
    "read_directory",
    "read_member_file",
    "read_root",
    "renew_directory",
    "renew_root",
    "sign_directory",
    "sign_root",
    "user_uri",
    "write_member_file",
]
