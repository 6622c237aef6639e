"""Every code that docs/format.md names is stated by a vector, or needs what a node holds and has a test."""

from __future__ import annotations

from codes import codes, named, stated

NEED_A_NODE = {
    "BANNER_MISMATCH", "BULLETIN_RECALLED", "CONSENT_UNKNOWN", "INCARNATION_UNKNOWN", "KEYSTORE_CORRUPT",
    "KEYSTORE_DEVELOPMENT", "KEYSTORE_PASSWORD", "KEYSTORE_PERMISSIONS", "LABEL_INVALID", "LOG_FORGOT",
    "MARKING_CONFLICT",
    "PEER_IDENTITY_INVALID", "PEER_REVOKED", "POLICY_DENIED", "RATE", "RECALLED", "RETENTION", "TOO_LARGE",
    "TREATY_MISMATCH", "VOIDED",
}  # fmt: skip
"""Streams held, law, links, the vault: no vector can state them, for they are of what was there before.

LABEL_INVALID is what a refusal says for any code of labels.json; RECALLED and RETENTION are causes in
receipts; what is TOO_LARGE is too large for a vector.
"""


def test_every_code_of_the_page_has_a_vector_or_needs_a_node() -> None:
    vectors, tests = stated(), named()
    without = {code for code in codes() if code not in vectors}
    assert sorted(without - NEED_A_NODE) == []
    assert [code for code in sorted(without) if not set(tests.get(code, [])) - {"test_codes"}] == []
