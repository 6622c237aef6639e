"""XML from other systems, read as plain elements: named, nested and bounded, and nothing else.

It is read with expat, which fetches nothing unless told to. The reader refuses everything that could do more:
a DOCTYPE (so there are no entities to expand, recurse into or fetch), processing instructions, and comments,
which other readers drop and then read a different value. No further library would make it smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NoReturn
from xml.parsers import expat

from intelshare.errors import LabelError, Place
from intelshare.labels.parse import refuse_controls

MAX_XML_BYTES = 64 * 1024
MAX_DEPTH = 8

_SPACE = " \t\r\n"
_ENCODINGS = ("utf-8", "us-ascii")


@dataclass(slots=True)
class Element:
    """One element: local name, attributes, text, children. Its place is where its text begins, if it has
    any.
    """

    name: str
    attributes: dict[str, str]
    place: Place
    parts: list[str] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)
    has_text: bool = False
    namespace: str = ""

    def fail(self, code: str, message: str, hint: str | None = None) -> NoReturn:
        """Raise a LabelError that points to this element."""
        raise LabelError(code, message, place=self.place, hint=hint)

    def only(self, name: str) -> Element:
        """Return the only child of that name. Raises LabelError INPUT_INVALID."""
        found = [child for child in self.children if child.name == name]
        if len(found) != 1:
            self.fail("INPUT_INVALID", f"{self.name} has {len(found)} {name} elements, and needs one")
        return found[0]

    def nothing_but(self, *names: str) -> None:
        """Refuse children of other names, and text directly in the element. Raises LabelError
        INPUT_INVALID.
        """
        for child in self.children:
            if child.name not in names:
                child.fail("INPUT_INVALID", f"{child.name!r} is not expected in {self.name}")
        if self.has_text:
            self.fail("INPUT_INVALID", f"{self.name} has text beside its elements")

    def value(self) -> str:
        """Return the text, trimmed, with each run of white space as one space.

        Raises LabelError: INPUT_INVALID (it has child elements), EMPTY_LABEL, CONTROL_CHARACTER.
        """
        if self.children:
            self.children[0].fail("INPUT_INVALID", f"{self.name} may have only text")
        plain = "".join(self.parts).translate(dict.fromkeys(map(ord, _SPACE), " "))
        value = " ".join(word for word in plain.split(" ") if word)
        if not value:
            self.fail("EMPTY_LABEL", f"{self.name} is empty")
        try:
            refuse_controls(value)
        except LabelError as error:
            # The excerpt is the value, escaped; the line is the file's.
            place = error.place and replace(error.place, source=self.place.source, line=self.place.line)
            raise LabelError(error.code, error.message, place=place, hint=error.hint) from None
        return value


def read_elements(text: str, source: str, *namespaces: str) -> Element:
    """Read XML and return its root element; all elements must be in these namespaces, the root in the first.

    ``source`` is the name of the text in errors.

    Raises LabelError: TOO_LARGE (64 KiB, 8 levels), INPUT_INVALID (not well-formed, not UTF-8, another
    namespace, a DOCTYPE, a comment, a processing instruction).
    """
    if len(text) > MAX_XML_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_XML_BYTES:
        message = f"a label in XML may have at most {MAX_XML_BYTES} bytes"
        raise LabelError("TOO_LARGE", message, place=Place(source))
    return _Reader(text, source, namespaces).read()


class _Reader:
    def __init__(self, text: str, source: str, namespaces: tuple[str, ...]) -> None:
        self._text = text
        self._lines = text.split("\n")
        self._source = source
        self._namespaces = namespaces
        self._open: list[Element] = []
        self._root: Element | None = None
        # A space cannot occur in a local name, so it separates namespace and name unambiguously.
        self._parser = parser = expat.ParserCreate("utf-8", " ")
        parser.XmlDeclHandler = self._declaration
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse("DOCTYPE")
        parser.EntityDeclHandler = self._refuse("entity")
        parser.ExternalEntityRefHandler = self._refuse("external entity")
        parser.ProcessingInstructionHandler = self._refuse("processing instruction")
        parser.CommentHandler = self._refuse("comment")

    def read(self) -> Element:
        try:
            self._parser.Parse(self._text.encode("utf-8", "surrogatepass"), True)
        except expat.ExpatError as error:
            message = f"this is not XML: {expat.ErrorString(error.code)}"
            raise LabelError("INPUT_INVALID", message, place=self._at(error.lineno, error.offset)) from None
        if self._root is None:
            raise LabelError("INPUT_INVALID", "this is not XML", place=Place(self._source))
        return self._root

    def _at(self, line: int, column: int, width: int = 1) -> Place:
        excerpt = self._lines[line - 1].rstrip("\r") if line <= len(self._lines) else ""
        return Place(self._source, line, column + 1, excerpt=excerpt, width=width)

    def _here(self, width: int = 1) -> Place:
        return self._at(self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber, width)

    def _refuse(self, what: str) -> Callable[..., NoReturn]:
        def refuse(*_: object) -> NoReturn:
            raise LabelError(
                "INPUT_INVALID", f"a label in XML must not contain a {what}", place=self._here(2)
            )

        return refuse

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise LabelError("INPUT_INVALID", f"the encoding is {encoding!r}, not UTF-8", place=self._here(5))

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        element = Element(local, attributes, self._here(len(local) + 1), namespace=namespace)
        known = self._namespaces if self._open else self._namespaces[:1]
        if namespace not in known:
            element.fail(
                "INPUT_INVALID", f"{local!r} is in another namespace", f"expected {' or '.join(known)}"
            )
        if len(self._open) >= MAX_DEPTH:
            element.fail("TOO_LARGE", f"elements are nested more than {MAX_DEPTH} deep")
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        self._open.pop()

    def _characters(self, text: str) -> None:
        element = self._open[-1]
        bare = text.strip(_SPACE)
        if bare and not element.has_text:
            place = self._here(len(bare))
            blank = len(text) - len(text.lstrip(_SPACE))
            element.place = replace(place, column=(place.column or 1) + blank)
            element.has_text = True
        element.parts.append(text)
