"""Detached bindings of labels to files: STANAG 4778 (ADatP-4778 edition A), in XML and in JSON.

A BindingInformation says which label belongs to which data object, by reference. Beside it stands a hash of
each object, in the ``ds:Manifest`` that ADatP-4778.2 annex A has for data that an XML signature does not
fetch, with SHA-384, which that annex requires. The
binding is not signed: whoever can write the file can write the binding.

The layout of the JSON form (``.bdoj``) is not public. The one used here takes the names of the XML form, and
contains the label as the same XML.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias
from urllib.parse import unquote
from xml.sax.saxutils import escape, quoteattr

from intelshare.errors import LabelError, Place
from intelshare.instant import Instant
from intelshare.labels.elements import MAX_XML_BYTES, Element, read_elements
from intelshare.labels.label import Label
from intelshare.labels.registry import Registry
from intelshare.labels.stanag4774 import NAMESPACE as LABEL_NAMESPACE
from intelshare.labels.stanag4774 import label_of, read_stanag4774, write_stanag4774

BINDING_NAMESPACE = "urn:nato:stanag:4778:bindinginformation:1:0"
SHA384 = "http://www.w3.org/2001/04/xmldsig-more#sha384"

_DS = "http://www.w3.org/2000/09/xmldsig#"
_XMIME = "http://www.w3.org/2005/05/xmlmime"
_CONTENT_TYPE = f"{_XMIME} contentType"
_DIGEST_BYTES = 48
_ROOT = "bindingInformation"

_Fail: TypeAlias = Callable[[str], NoReturn]
"""Refuses what was read, and says why."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A data object and its label."""

    uri: str
    """The URI of the object; for a file beside the binding, its name, percent-encoded."""
    label: Label
    media: str = ""
    digest: bytes | None = None
    """The SHA-384 of the object; None if the binding has none."""


def write_binding(bound: Sequence[Bound], form: str, registry: Registry, created: Instant) -> str:
    """Write the binding in the form ``xml`` or ``json``; ``created`` is when the labels were assigned.

    Raises LabelError as ``write_stanag4774`` does.
    """
    return (_xml if form == "xml" else _json)(bound, registry, created)


def read_binding(
    text: str, registry: Registry, at: Instant | None = None, *, source: str = "binding"
) -> tuple[Bound, ...]:
    """Read the data objects of a binding and their labels, in either form.

    Raises LabelError: TOO_LARGE (64 KiB), INPUT_INVALID (not a binding; a binding that refers to its metadata
    or embeds its data, which is not supported; a part of an object; a signature; two labels or two hashes for
    one object; a hash for an object that has no label), and as ``read_stanag4774``.
    """
    read = _from_json if text.lstrip(" \t\r\n")[:1] == "{" else _from_xml
    found = tuple(read(text, registry, at, source))
    names: set[str] = set()
    for one in found:
        # Compare names as files are looked up: one name may be percent-encoded in several ways.
        name = unquote(one.uri)
        if name in names:
            raise LabelError("INPUT_INVALID", f"{name} has two labels", place=Place(source))
        names.add(name)
    return found


def is_binding(text: str) -> bool:
    """Return True if a text in XML or JSON is meant as a binding."""
    begins = text.lstrip(" \t\r\n")[:1]
    return (begins == "<" and BINDING_NAMESPACE in text) or (begins == "{" and f'"{_ROOT}"' in text)


# XML.


def _xml(bound: Sequence[Bound], registry: Registry, created: Instant) -> str:
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<mb:BindingInformation xmlns:mb="{BINDING_NAMESPACE}" xmlns:xmime="{_XMIME}">',
        "  <mb:MetadataBindingContainer>",
    ]
    for one in bound:
        label = write_stanag4774(one.label, registry, created).splitlines()
        media = f" xmime:contentType={quoteattr(one.media)}" if one.media else ""
        lines += [
            "    <mb:MetadataBinding>",
            "      <mb:Metadata>",
            *(f"        {line}" for line in label),
            "      </mb:Metadata>",
            f"      <mb:DataReference URI={quoteattr(one.uri)}{media}/>",
            "    </mb:MetadataBinding>",
        ]
    hashed = [one for one in bound if one.digest is not None]
    if hashed:
        lines.append(f'    <ds:Manifest xmlns:ds="{_DS}">')
        for one in hashed:
            lines += [
                f"      <ds:Reference URI={quoteattr(one.uri)}>",
                f'        <ds:DigestMethod Algorithm="{SHA384}"/>',
                f"        <ds:DigestValue>{escape(_encoded(one.digest))}</ds:DigestValue>",
                "      </ds:Reference>",
            ]
        lines.append("    </ds:Manifest>")
    return "\n".join((*lines, "  </mb:MetadataBindingContainer>", "</mb:BindingInformation>")) + "\n"


def _from_xml(text: str, registry: Registry, at: Instant | None, source: str) -> Iterator[Bound]:
    root = read_elements(text, source, BINDING_NAMESPACE, LABEL_NAMESPACE, _DS)
    if root.name != "BindingInformation":
        root.fail("INPUT_INVALID", f"{root.name!r} is not a binding", "expected BindingInformation")
    root.nothing_but("MetadataBindingContainer")
    for container in root.children:
        container.nothing_but("MetadataBinding", "Manifest")
        digests: dict[str, bytes] = {}
        for manifest in _named(container, "Manifest", _DS):
            manifest.nothing_but("Reference")
            for reference in manifest.children:
                uri = _attribute(reference, "URI")
                if uri in digests:
                    reference.fail("INPUT_INVALID", f"there are two hashes for {uri}")
                digests[uri] = _digest(reference)
        for binding in _named(container, "MetadataBinding", BINDING_NAMESPACE):
            binding.nothing_but("Metadata", "DataReference")
            metadata = binding.only("Metadata")
            label = metadata.only("originatorConfidentialityLabel")
            metadata.nothing_but("originatorConfidentialityLabel")
            _need_label(label)
            read = label_of(label, registry, at)
            for reference in _named(binding, "DataReference", BINDING_NAMESPACE):
                reference.nothing_but()  # such as a transform, which would select a part of the object
                uri = _attribute(reference, "URI")
                yield Bound(uri, read, reference.attributes.get(_CONTENT_TYPE, ""), digests.pop(uri, None))
        if digests:
            container.fail("INPUT_INVALID", f"{next(iter(digests))} has a hash but no label")


def _named(element: Element, name: str, namespace: str) -> list[Element]:
    found = [child for child in element.children if child.name == name]
    for child in found:
        if child.namespace != namespace:
            child.fail("INPUT_INVALID", f"{name!r} is in another namespace", f"expected {namespace}")
    return found


def _need_label(element: Element) -> None:
    """Check that the whole element is in the label's namespace; otherwise another reader could read another
    label.
    """
    if element.namespace != LABEL_NAMESPACE:
        element.fail(
            "INPUT_INVALID", f"{element.name!r} is in another namespace", f"expected {LABEL_NAMESPACE}"
        )
    for child in element.children:
        _need_label(child)


def _attribute(element: Element, name: str) -> str:
    if name not in element.attributes:
        element.fail("INPUT_INVALID", f"{element.name} has no {name}")
    return element.attributes[name]


def _digest(reference: Element) -> bytes:
    reference.nothing_but("DigestMethod", "DigestValue")
    method = reference.only("DigestMethod")
    method.nothing_but()
    if _attribute(method, "Algorithm") != SHA384:
        reference.fail("INPUT_INVALID", "the hash is not SHA-384", f"expected {SHA384}")
    value = reference.only("DigestValue")
    found = _decoded(value.value())
    if found is None:
        value.fail("INPUT_INVALID", "this is not a SHA-384 in base64")
    return found


# JSON.


def _json(bound: Sequence[Bound], registry: Registry, created: Instant) -> str:
    bindings: list[dict[str, Any]] = []
    for one in bound:
        reference: dict[str, Any] = {"uri": one.uri}
        if one.media:
            reference["contentType"] = one.media
        if one.digest is not None:
            reference |= {"digestMethod": SHA384, "digestValue": _encoded(one.digest)}
        label = write_stanag4774(one.label, registry, created)
        bindings.append(
            {
                "metadata": [{"contentType": "text/xml; charset=utf-8", "value": label}],
                "dataReference": [reference],
            }
        )
    return json.dumps({_ROOT: {"metadataBindingContainer": [{"metadataBinding": bindings}]}}, indent=2) + "\n"


def _from_json(text: str, registry: Registry, at: Instant | None, source: str) -> Iterator[Bound]:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_XML_BYTES:
        raise LabelError("TOO_LARGE", f"a binding has at most {MAX_XML_BYTES} bytes", place=Place(source))

    def fail(message: str) -> NoReturn:
        raise LabelError("INPUT_INVALID", f"this is not a binding: {message}", place=Place(source))

    for container in _items(_parsed(text, fail), fail, "metadataBindingContainer", "metadataBinding"):
        for binding in _items(container, fail, "metadataBinding", "metadata", "dataReference"):
            metadata = _items(binding, fail, "metadata", "contentType", "value")
            if len(metadata) != 1 or not isinstance(metadata[0].get("value"), str):
                fail("metadata is not one label")
            label = read_stanag4774(metadata[0]["value"], registry, at, source=source)
            fields = ("uri", "contentType", "digestMethod", "digestValue")
            for reference in _items(binding, fail, "dataReference", *fields):
                yield _bound(reference, label, fail)


def _parsed(text: str, fail: _Fail) -> Any:
    """Return what the only field of a binding holds."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            fail("a key is repeated")
        return dict(pairs)

    try:
        top = json.loads(text, object_pairs_hook=once)
    except (json.JSONDecodeError, RecursionError):
        fail("it is not valid JSON")
    if not isinstance(top, dict) or top.keys() != {_ROOT}:
        fail(f"{_ROOT} must be its only field")
    return top[_ROOT]


def _items(value: Any, fail: _Fail, name: str, *names: str) -> list[dict[str, Any]]:
    """Return the objects in the list ``name`` of an object; they may have no fields other than ``names``."""
    found = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        fail(f"{name} is not a list of objects")
    for one in found:
        if not one.keys() <= set(names):
            fail(f"{sorted(one.keys() - set(names))[0]!r} is not expected in {name}")
    return found


def _bound(reference: Mapping[str, Any], label: Label, fail: _Fail) -> Bound:
    """Return what a reference binds to this label."""
    if not all(isinstance(value, str) for value in reference.values()) or "uri" not in reference:
        fail("dataReference has no uri")
    hashed = reference.get("digestValue")
    digest = None if hashed is None else _decoded(hashed)
    if (hashed is None) != (digest is None) or reference.get("digestMethod", SHA384) != SHA384:
        fail("digestValue is not a SHA-384 in base64")
    return Bound(reference["uri"], label, reference.get("contentType", ""), digest)


def _encoded(digest: bytes | None) -> str:
    return base64.b64encode(digest or b"").decode("ascii")


def _decoded(text: str) -> bytes | None:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if len(found) == _DIGEST_BYTES else None
