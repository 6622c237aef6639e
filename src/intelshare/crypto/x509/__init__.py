"""X.509, used for TLS only: issue authorities and leaves, read an identity, check its issuer.

Each member has one authority for nodes and one for users (ECDSA P-384, because both pyca's chain validator
and BoringSSL accept it; Ed25519 and ML-DSA leaves fail in TLS). Leaves are P-256 with an empty subject and
one URI SAN. A node leaf also has exactly one DNS SAN, the only name that a gRPC client compares.

A certificate speaks for the exact text of its one URI SAN, which is looked up and never parsed
(``intelshare.trust``). Reading is strict: a certificate that this module would not have issued is not an
identity.
"""

from intelshare.crypto.x509.issuing import (
    issue_bridge,
    issue_node,
    issue_user,
    make_authority,
    request_from_pem,
    request_key,
    sign_node,
    sign_user,
)
from intelshare.crypto.x509.pem import all_from_pem, from_pem, to_pem
from intelshare.crypto.x509.reading import (
    NAME_KINDS,
    check_issued,
    digest_of,
    fits,
    inspect,
    is_authority,
    is_issued_by,
    names_of,
    serial_of,
    subject_of,
    validity,
)
from intelshare.crypto.x509.values import (
    AUTHORITY_LIFETIME,
    BACKDATE,
    DEVELOPMENT_LIFETIME,
    MAX_BETWEEN,
    MAX_CERTIFICATE,
    NODE_LIFETIME,
    TICKET_LIFETIME,
    USER_LIFETIME,
    CertifiedKey,
    Leaf,
    RequestedKey,
    Validity,
)

__all__ = [
    "AUTHORITY_LIFETIME",
    "BACKDATE",
    "DEVELOPMENT_LIFETIME",
    "MAX_BETWEEN",
    "MAX_CERTIFICATE",
    "NAME_KINDS",
    "NODE_LIFETIME",
    "TICKET_LIFETIME",
    "USER_LIFETIME",
    "CertifiedKey",
    "Leaf",
    "RequestedKey",
    "Validity",
    "all_from_pem",
    "check_issued",
    "digest_of",
    "fits",
    "from_pem",
    "inspect",
    "is_authority",
    "is_issued_by",
    "issue_bridge",
    "issue_node",
    "issue_user",
    "make_authority",
    "names_of",
    "request_from_pem",
    "request_key",
    "serial_of",
    "sign_node",
    "sign_user",
    "subject_of",
    "to_pem",
    "validity",
]
