"""TLS identities: what our certificates are, and that nothing else is one (rows 22, 25, 26 of attacks.md)."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from envelope_world import stream_of
from hostile_authorities import SPOILT
from intelshare.crypto.x509 import (
    AUTHORITY_LIFETIME,
    DEVELOPMENT_LIFETIME,
    NODE_LIFETIME,
    CertifiedKey,
    check_issued,
    from_pem,
    inspect,
    is_authority,
    issue_bridge,
    issue_node,
    issue_user,
    make_authority,
    to_pem,
    validity,
)
from intelshare.errors import IntelshareError
from intelshare.instant import DAY, HOUR, MINUTE, Instant, to_datetime
from intelshare.trust.documents import Revocation, Revoked, Why
from trust_world import NOW, TestMember, member, view_of

URI = "intelshare://fra.intelshare.internal/node/one"
DNS = "one.fra.intelshare.internal"


@pytest.fixture(scope="module")
def authority() -> CertifiedKey:
    return make_authority("FRA nodes", NOW, stream_of("authority"))


def code_of(error: pytest.ExceptionInfo[IntelshareError]) -> str:
    return error.value.code


def forged(
    authority: CertifiedKey, names: list[x509.GeneralName], *, subject: str | None = None, ca: bool = False
) -> bytes:
    """A leaf with whatever names, signed by a genuine authority."""
    issuer = x509.load_der_x509_certificate(authority.certificate)
    key = serialization.load_pem_private_key(authority.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    own = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject)
        .public_key(own.public_key())
        .serial_number(7)
        .not_valid_before(to_datetime(NOW))
        .not_valid_after(to_datetime(NOW) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(key, hashes.SHA384()).public_bytes(serialization.Encoding.DER)


def test_a_node_leaf_is_what_the_design_says(authority: CertifiedKey) -> None:
    leaf = issue_node(authority, URI, DNS, NOW, stream_of("leaf"))
    parsed = x509.load_der_x509_certificate(leaf.certificate)
    names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    usage = parsed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    issuer = x509.load_der_x509_certificate(authority.certificate)
    assert names.critical
    assert list(names.value) == [x509.UniformResourceIdentifier(URI), x509.DNSName(DNS)]
    assert list(parsed.subject) == []
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert isinstance(parsed.public_key(), ec.EllipticCurvePublicKey)
    assert parsed.public_key().curve.name == "secp256r1"  # type: ignore[union-attr]
    assert issuer.public_key().curve.name == "secp384r1"  # type: ignore[union-attr]
    assert validity(leaf.certificate).end == NOW + NODE_LIFETIME
    assert validity(leaf.certificate).start == NOW - 5 * MINUTE
    assert from_pem(to_pem([leaf.certificate])) == leaf.certificate


def test_a_user_leaf_is_for_clients_and_seven_days(authority: CertifiedKey) -> None:
    leaf = issue_user(authority, "intelshare://fra.intelshare.internal/user/m.durand", NOW, stream_of("user"))
    parsed = x509.load_der_x509_certificate(leaf.certificate)
    usage = parsed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert inspect(leaf.certificate).dns == ""
    assert validity(leaf.certificate).end == NOW + 7 * DAY


def test_serials_and_keys_differ_and_a_seed_repeats(authority: CertifiedKey) -> None:
    random = stream_of("one seed")
    first, second = (issue_node(authority, URI, DNS, NOW, random) for _ in range(2))
    again = issue_node(authority, URI, DNS, NOW, stream_of("one seed"))
    assert first == again
    assert x509.load_der_x509_certificate(first.certificate).serial_number != (
        x509.load_der_x509_certificate(second.certificate).serial_number
    )
    assert first.key != second.key


def test_a_leaf_never_outlives_its_authority(authority: CertifiedKey) -> None:
    end = validity(authority.certificate).end
    leaf = issue_node(
        authority, URI, DNS, Instant(end - DAY), stream_of("late"), lifetime=DEVELOPMENT_LIFETIME
    )
    assert validity(leaf.certificate).end == end


def test_private_keys_are_not_shown(authority: CertifiedKey) -> None:
    assert "PRIVATE" not in repr(authority)


ODD_NAMES: dict[str, list[x509.GeneralName]] = {
    "none": [],
    "two URIs": [x509.UniformResourceIdentifier(URI), x509.UniformResourceIdentifier(URI + "2")],
    "the same URI twice": [x509.UniformResourceIdentifier(URI)] * 2,
    "identity as DNS only": [x509.DNSName(DNS)],
    "two DNS names": [x509.UniformResourceIdentifier(URI), x509.DNSName(DNS), x509.DNSName("two.example")],
    "identity as mail": [x509.RFC822Name("one@fra.intelshare.internal")],
    "identity as another name": [x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x03one")],
    "a registered id beside": [
        x509.UniformResourceIdentifier(URI),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
    ],
    "a folder name beside": [
        x509.UniformResourceIdentifier(URI),
        x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "one")])),
    ],
}


@pytest.mark.parametrize("case", ODD_NAMES)
def test_row_25_odd_names_are_no_identity(case: str, authority: CertifiedKey) -> None:
    with pytest.raises(IntelshareError) as error:
        inspect(forged(authority, ODD_NAMES[case]))
    assert code_of(error) == "PEER_IDENTITY_INVALID"


def test_row_25_a_subject_an_authority_or_noise_is_no_identity(authority: CertifiedKey) -> None:
    uri: list[x509.GeneralName] = [x509.UniformResourceIdentifier(URI)]
    odd = [
        forged(authority, uri, subject=URI),
        forged(authority, uri, ca=True),
        authority.certificate,
        b"",
        b"\x30\x82\xff\xff",
        bytes(100_000),
        forged(authority, uri)[:-1],
    ]
    for certificate in odd:
        with pytest.raises(IntelshareError) as error:
            inspect(certificate)
        assert code_of(error) == "PEER_IDENTITY_INVALID"


def test_only_the_members_own_authority_and_only_in_time(authority: CertifiedKey) -> None:
    leaf = issue_node(authority, URI, DNS, NOW, stream_of("leaf")).certificate
    other = make_authority("FRA nodes", NOW, stream_of("other")).certificate
    assert check_issued(leaf, [other, authority.certificate], NOW).holds(NOW)
    for authorities, at in (
        ([other], NOW),
        ([], NOW),
        ([authority.certificate], Instant(NOW + NODE_LIFETIME + HOUR)),
        ([authority.certificate], Instant(NOW - DAY)),
    ):
        with pytest.raises(IntelshareError) as error:
            check_issued(leaf, authorities, at)
        assert code_of(error) == "PEER_IDENTITY_MISMATCH"


@pytest.fixture(scope="module")
def fra() -> TestMember:
    return member("FRA")


@pytest.fixture(scope="module")
def deu() -> TestMember:
    return member("DEU")


def test_a_node_is_found_by_its_exact_uri(fra: TestMember, deu: TestMember) -> None:
    view = view_of(fra, deu)
    for _ in range(2):
        peer = view.identify(deu.founded.node_leaf.certificate, NOW)
        assert (peer.member, peer.node) == ("DEU", deu.founded.node)


def test_row_22_one_members_authority_cannot_vouch_for_anothers_node(
    fra: TestMember, deu: TestMember
) -> None:
    node = deu.founded.node
    leaf = issue_node(fra.founded.node_authority, node.uri, node.dns, NOW, stream_of("row 22"))
    with pytest.raises(IntelshareError) as error:
        view_of(fra, deu).identify(leaf.certificate, NOW)
    assert code_of(error) == "PEER_IDENTITY_MISMATCH"


@pytest.mark.parametrize(
    "change", [str.upper, lambda u: u + "/", lambda u: u.replace("/node/", "%2fnode%2f")]
)
def test_row_25_a_uri_that_only_looks_alike_is_nobody(change, fra: TestMember, deu: TestMember) -> None:  # type: ignore[no-untyped-def]
    node = deu.founded.node
    leaf = issue_node(deu.founded.node_authority, change(node.uri), node.dns, NOW, stream_of("row 25"))
    with pytest.raises(IntelshareError) as error:
        view_of(fra, deu).identify(leaf.certificate, NOW)
    assert code_of(error) == "PEER_IDENTITY_INVALID"


def test_row_26_a_users_uri_under_the_node_authority_is_nobody(fra: TestMember, deu: TestMember) -> None:
    uri = "intelshare://deu.intelshare.internal/user/h.meier"
    leaf = issue_node(deu.founded.node_authority, uri, deu.founded.node.dns, NOW, stream_of("row 26"))
    with pytest.raises(IntelshareError) as error:
        view_of(fra, deu).identify(leaf.certificate, NOW)
    assert code_of(error) == "PEER_IDENTITY_INVALID"


def test_the_dns_name_must_agree_with_the_directory(fra: TestMember, deu: TestMember) -> None:
    leaf = issue_node(
        deu.founded.node_authority,
        deu.founded.node.uri,
        "other.deu.intelshare.internal",
        NOW,
        stream_of("dns"),
    )
    with pytest.raises(IntelshareError) as error:
        view_of(fra, deu).identify(leaf.certificate, NOW)
    assert code_of(error) == "PEER_IDENTITY_MISMATCH"


def test_a_certificate_seen_before_still_expires(fra: TestMember, deu: TestMember) -> None:
    view = view_of(fra, deu)
    view.identify(deu.founded.node_leaf.certificate, NOW)
    with pytest.raises(IntelshareError) as error:
        view.identify(deu.founded.node_leaf.certificate, Instant(NOW + NODE_LIFETIME))
    assert code_of(error) == "PEER_IDENTITY_MISMATCH"


@pytest.mark.parametrize("what", [Revoked.NODE, Revoked.CERTIFICATE])
def test_row_29_a_revoked_node_or_certificate_ends_with_the_next_look(
    what: Revoked, fra: TestMember, deu: TestMember
) -> None:
    view = view_of(fra, deu)
    leaf = deu.founded.node_leaf.certificate
    digest = view.identify(leaf, NOW).leaf.digest
    subject = deu.founded.node.uri.encode() if what is Revoked.NODE else digest
    later = Instant(NOW + HOUR)
    view = view.with_document(
        deu.renewed(NOW, revoke=[Revocation(what, subject, Why.ROTATED, later)]), NOW
    ).view
    assert view.identify(leaf, NOW).member == "DEU"
    with pytest.raises(IntelshareError) as error:
        view.identify(leaf, later)
    assert code_of(error) == "PEER_REVOKED"


def test_the_harsher_of_two_revocations_counts(fra: TestMember, deu: TestMember) -> None:
    subject = deu.founded.node.uri.encode()
    rows = [
        Revocation(Revoked.NODE, subject, Why.ROTATED, Instant(NOW + DAY)),
        Revocation(Revoked.NODE, subject, Why.COMPROMISED, Instant(NOW + DAY)),
    ]
    view = view_of(fra, deu).with_document(deu.renewed(NOW, revoke=rows), NOW).view
    with pytest.raises(IntelshareError) as error:
        view.identify(deu.founded.node_leaf.certificate, NOW)
    assert code_of(error) == "PEER_REVOKED"


def test_a_certificate_without_a_positive_serial_number_is_nobody(authority: CertifiedKey) -> None:
    leaf = issue_node(authority, URI, DNS, NOW, stream_of("serial")).certificate  # type: ignore[arg-type]
    serial = x509.load_der_x509_certificate(leaf).serial_number.to_bytes(20, "big").lstrip(b"\0")
    at = leaf.index(serial)
    with pytest.raises(IntelshareError) as raised:
        inspect(leaf[:at] + bytes([leaf[at] | 0x80]) + leaf[at + 1 :])
    assert raised.value.code == "PEER_IDENTITY_INVALID"


def test_a_certificate_of_an_unknown_version_is_nobody(authority: CertifiedKey) -> None:
    leaf = issue_node(authority, URI, DNS, NOW, stream_of("version")).certificate  # type: ignore[arg-type]
    at = leaf.index(b"\xa0\x03\x02\x01\x02") + 4
    strange = leaf[:at] + b"\x01" + leaf[at + 1 :]
    with pytest.raises(IntelshareError) as raised:
        inspect(strange)
    assert raised.value.code == "PEER_IDENTITY_INVALID"
    with pytest.raises(IntelshareError) as raised:
        check_issued(strange, (authority.certificate,), NOW)  # type: ignore[arg-type]
    assert raised.value.code == "PEER_IDENTITY_MISMATCH"
    assert not is_authority(strange)


@pytest.mark.parametrize("what", SPOILT)
def test_what_two_libraries_may_read_differently_is_no_authority(authority: CertifiedKey, what: str) -> None:
    assert is_authority(authority.certificate)
    assert not is_authority(SPOILT[what](authority))


def test_an_authority_that_openssl_made_may_stand_in_a_directory(tmp_path: Path) -> None:
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -days 30 -outform DER"
    made = tmp_path / "ca.der"
    files = ["-keyout", tmp_path / "key.pem", "-out", made]
    subprocess.run(
        [*words.split(), "-subj", "/C=FR/O=Etat/CN=nodes", *files], check=True, capture_output=True
    )
    assert is_authority(made.read_bytes())


def test_a_bridge_leads_from_the_authority_that_is_known_to_its_successor_and_nowhere_else(
    fra: TestMember, deu: TestMember
) -> None:
    node, random = deu.founded.node, stream_of("bridge")
    old = deu.founded.node_authority
    new = make_authority("DEU nodes", NOW, random)
    bridge = issue_bridge(old, new.certificate, NOW, random)
    leaf = issue_node(new, node.uri, node.dns, NOW, random).certificate
    assert view_of(fra, deu).identify(leaf, NOW, (bridge,)).member == "DEU"
    foreign = issue_bridge(fra.founded.node_authority, new.certificate, NOW, random)
    node_as_authority = issue_node(old, node.uri, node.dns, NOW, random)
    third = make_authority("DEU nodes", NOW, random)
    further = issue_node(third, node.uri, node.dns, NOW, random).certificate
    onward = issue_bridge(new, third.certificate, NOW, random)
    forged = issue_node(
        CertifiedKey(node_as_authority.certificate, node_as_authority.key), node.uri, node.dns, NOW, random
    ).certificate
    for shown, between in (
        (leaf, ()),
        (leaf, (foreign,)),
        (leaf, (new.certificate,)),
        (further, (onward,)),
        (further, (onward, bridge)),
        (forged, (node_as_authority.certificate,)),
    ):
        with pytest.raises(IntelshareError) as error:
            view_of(fra, deu).identify(shown, NOW, between)
        assert code_of(error) == "PEER_IDENTITY_MISMATCH"


def test_a_bridge_ends_with_the_authority_that_made_it() -> None:
    random = stream_of("end of a bridge")
    old = make_authority("DEU nodes", NOW, random)
    late = Instant(NOW + AUTHORITY_LIFETIME - DAY)
    bridge = issue_bridge(old, make_authority("DEU nodes", late, random).certificate, late, random)
    assert validity(bridge).end == validity(old.certificate).end
