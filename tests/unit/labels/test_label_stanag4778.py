"""STANAG 4778 bindings: what is written has the standard's layout, is read again, and finds a mix-up."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from intelshare import instant
from intelshare.builtin import builtin_registry
from intelshare.cli.app import run
from intelshare.errors import LabelError
from intelshare.labels import Bound, format_banner, parse_label, read_binding, write_binding

REGISTRY = builtin_registry()
AT = instant.parse("2026-11-24T12:00:00Z")
SAMPLE = Path(__file__).parents[2] / "samples" / "stanag4778" / "package-parts.xml"
MB = "{urn:nato:stanag:4778:bindinginformation:1:0}"
SLAB = "{urn:nato:stanag:4774:confidentialitymetadatalabel:1:0}"
DS = "{http://www.w3.org/2000/09/xmldsig#}"
XMIME = "{http://www.w3.org/2005/05/xmlmime}"
LABELS = (
    "//FRA SECRET//REL TO FRA, USA",
    "//NATO SECRET//REL TO NATO, SWE",
    "COSMIC TOP SECRET",
    "//JOINT SECRET GBR USA//REL TO USA, GBR",
    "SECRET//NOFORN",
    "TLP:AMBER",
    "UNCLASSIFIED//TLP:GREEN",
)


def bound(text: str, name: str = "1-a%20%26%20b.txt", content: bytes | None = b"content") -> Bound:
    digest = None if content is None else hashlib.sha384(content).digest()
    return Bound(name, parse_label(text, REGISTRY, AT), "text/plain", digest)


@pytest.mark.parametrize("form", ["xml", "json"])
@pytest.mark.parametrize("text", LABELS)
def test_what_is_written_is_read_again(text: str, form: str) -> None:
    for given in ([bound(text)], [bound(text, content=None)], [bound(text), bound("SECRET//NF", "2")]):
        assert list(read_binding(write_binding(given, form, REGISTRY, AT), REGISTRY, AT)) == given


@pytest.mark.parametrize("text", LABELS)
def test_the_xml_form_has_the_layout_of_the_standard(text: str) -> None:
    """ADatP-4778 section 4: names, order, multiplicity; 4778.2 annex A: SHA-384, a media type."""
    root = ElementTree.fromstring(write_binding([bound(text), bound(text, "2")], "xml", REGISTRY, AT))  # noqa: S314
    assert root.tag == f"{MB}BindingInformation"
    (container,) = root
    assert container.tag == f"{MB}MetadataBindingContainer"
    *bindings, manifest = container
    assert [one.tag for one in bindings] == [f"{MB}MetadataBinding"] * 2
    for binding in bindings:
        metadata, reference = binding
        assert (metadata.tag, reference.tag) == (f"{MB}Metadata", f"{MB}DataReference")
        assert [one.tag for one in metadata] == [f"{SLAB}originatorConfidentialityLabel"]
        assert reference.attrib.keys() == {"URI", f"{XMIME}contentType"}
    # Beside them only what is of another namespace (xs:any ##other).
    assert manifest.tag == f"{DS}Manifest"
    uris = [binding[1].attrib["URI"] for binding in bindings]
    assert [one.attrib["URI"] for one in manifest] == uris
    for reference in manifest:
        method, value = reference
        assert method.attrib == {"Algorithm": "http://www.w3.org/2001/04/xmldsig-more#sha384"}
        assert base64.b64decode(value.text or "") == hashlib.sha384(b"content").digest()


def test_a_binding_of_the_parts_of_a_package_is_read() -> None:
    found = read_binding(SAMPLE.read_text(), REGISTRY, AT)
    assert [(one.uri, one.media, one.digest) for one in found] == [
        ("pack:///word/document.xml", "", None),
        ("pack:///word/media/image1.png", "image/png", None),
    ]
    assert {format_banner(one.label, REGISTRY) for one in found} == {"//NATO RESTRICTED"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<mb:Metadata>", "<mb:Metadata>text"),
        ("</mb:Metadata>", "</mb:Metadata><mb:Metadata/>"),
        ("mb:DataReference ", "mb:Data "),
        ("<mb:MetadataBinding ", '<mb:MetadataReference URI="x"/><mb:MetadataBinding '),
        ("<mb:MetadataBindingContainer>", '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>'
         "<mb:MetadataBindingContainer>"),
        ("<slab:Classification>", '<mb:Classification xmlns:x="y">'),
        ("<?xml", "<!DOCTYPE a><?xml"),
        ("urn:nato:stanag:4778:bindinginformation:1:0", "urn:nato:stanag:4778:bindinginformation:2:0"),
        ("RESTRICTED", "RESTRICTD"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(old: str, new: str) -> None:
    with pytest.raises(LabelError):
        read_binding(SAMPLE.read_text().replace(old, new, 1), REGISTRY, AT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("#sha384", "#md5"),
        ("digestValue", "digestvalue"),
        ('"uri"', '"URI"'),
        ('"metadata"', '"dataReference": [], "metadata"'),
        ("SECRET", "SECRTE"),
        ("{", "[", ),
    ],
)  # fmt: skip
def test_json_that_is_not_understood_is_refused(old: str, new: str) -> None:
    text = write_binding([bound("//FRA SECRET//REL TO FRA, USA")], "json", REGISTRY, AT)
    with pytest.raises(LabelError):
        read_binding(text.replace(old, new, 1), REGISTRY, AT)


ONE = write_binding([bound("//FRA SECRET//REL TO FRA, USA", "a.txt")], "xml", REGISTRY, AT)
BINDING = ONE[ONE.index("    <mb:MetadataBinding>") : ONE.index("    <ds:Manifest")]
REFERENCE = ONE[ONE.index("      <ds:Reference") : ONE.index("    </ds:Manifest")]
CONTAINER = ONE[ONE.index("  <mb:MetadataBindingContainer>") : ONE.index("</mb:BindingInformation>")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # Two labels of one object, in one container or two, also where the name is spelled in another way.
        (BINDING, BINDING + BINDING.replace("SECRET", "DIFFUSION RESTREINTE")),
        (BINDING, BINDING + BINDING.replace("a.txt", "%61.txt")),
        (CONTAINER, CONTAINER + CONTAINER.replace("SECRET", "DIFFUSION RESTREINTE")),
        # A hash of what has no label, in place of the one that has.
        (REFERENCE, REFERENCE + REFERENCE.replace("a.txt", "b.txt")),
        (REFERENCE, REFERENCE.replace("a.txt", "A.TXT")),
        # A part of an object, and what is wrapped into what is not looked at.
        ('<mb:DataReference URI="a.txt" xmime:contentType="text/plain"/>',
         '<mb:DataReference URI="a.txt"><ds:Transforms xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>'
         "</mb:DataReference>"),
        (REFERENCE, REFERENCE.replace("ds:Reference", "ds:Object")),
        (REFERENCE, f"<ds:Signature>{REFERENCE}</ds:Signature>"),
        ("#sha384\"/>", '#sha384"><ds:HMACOutputLength>8</ds:HMACOutputLength></ds:DigestMethod>'),
        (BINDING, BINDING.replace("<mb:MetadataBinding>", "<mb:MetadataBinding><mb:MetadataBinding>")
         .replace("</mb:MetadataBinding>", "</mb:MetadataBinding></mb:MetadataBinding>")),
        # Entities.
        ("<mb:BindingInformation", '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><mb:BindingInformation'),
        ("SECRET", "&e;"),
    ],
)  # fmt: skip
def test_what_another_reader_would_read_otherwise_is_refused(old: str, new: str) -> None:
    assert old in ONE
    with pytest.raises(LabelError) as raised:
        read_binding(ONE.replace(old, new, 1), REGISTRY, AT)
    assert raised.value.code in ("INPUT_INVALID", "TOO_LARGE")


def test_two_labels_of_one_object_are_refused_in_json_too() -> None:
    both = [bound("//FRA SECRET//REL TO FRA, USA", "a.txt"), bound("//FRA DR", "%61.txt")]
    with pytest.raises(LabelError) as raised:
        read_binding(write_binding(both, "json", REGISTRY, AT), REGISTRY, AT)
    assert raised.value.code == "INPUT_INVALID"
    assert "a.txt" in raised.value.message


def test_check_finds_a_file_that_is_another_gone_or_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a report.txt"
    file.write_bytes(b"content")
    assert run(["label", "bind", str(file), "--label", "SECRET//NF", "--form", "xml", "--form", "json"]) == 0
    companions = [f"{file}.bdo", f"{file}.bdoj"]
    assert capsys.readouterr().out.split("\n")[:2] == companions
    assert run(["label", "bind", str(file), "--label", "SECRET//NF"]) != 0  # never over a file

    def states() -> tuple[int, set[str]]:
        capsys.readouterr()
        code = run(["label", "check", *companions, "--json"])
        return code, {one["state"] for one in json.loads(capsys.readouterr().out)["objects"]}

    assert states() == (0, {"as bound"})
    file.write_bytes(b"other")
    assert states() == (7, {"changed"})
    file.unlink()
    assert states() == (7, {"missing"})
    for uri in ("..%2Fsecret", "/etc/passwd", "https://example.org/a", "..", "a%5Cb"):
        Path(companions[0]).write_text(write_binding([bound("SECRET//NF", uri)], "xml", REGISTRY, AT))
        Path(companions[1]).write_text(write_binding([bound("SECRET//NF", uri)], "json", REGISTRY, AT))
        assert states() == (7, {"elsewhere"})


def test_a_label_is_parsed_from_its_binding(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "parse", "--file", str(SAMPLE), "--json"]) == 0
    assert {one["label"] for one in json.loads(capsys.readouterr().out)["labels"]} == {"//NATO RESTRICTED"}
