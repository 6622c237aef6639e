"""Labels: dated registry, label values, their text forms, reach, conversion and roll-up. Pure."""

from intelshare.labels.bundles import MAX_STIX_BYTES, Found, read_bundle, write_bundle
from intelshare.labels.content import check_stix
from intelshare.labels.formats import format_banner, format_portion, format_prose, show_banner
from intelshare.labels.intervals import ALWAYS, BEGINNING, Interval, in_force, interval, when
from intelshare.labels.label import (
    AMBER_STRICT,
    CLEAR,
    CONTROLS,
    EYES_ONLY,
    NOFORN,
    ORCON,
    RED,
    RELIDO,
    TLP_WORDS,
    Label,
    first_owner,
    order_codes,
    order_controls,
)
from intelshare.labels.ladders import (
    JOINT,
    UNMARKED,
    Converted,
    Equivalence,
    Ladder,
    LadderRow,
    Level,
    Reference,
    convert_reference,
    ladder,
)
from intelshare.labels.parse import MAX_LABEL_BYTES, LabelReader, parse_label
from intelshare.labels.reach import Reach, level_reference, named_itself, reach, reach_of
from intelshare.labels.registry import Group, Registry, convert
from intelshare.labels.registry_files import level_name, parse_registry
from intelshare.labels.rollup import rollup
from intelshare.labels.stanag4774 import read_stanag4774, write_stanag4774
from intelshare.labels.stanag4778 import Bound, is_binding, read_binding, write_binding
from intelshare.labels.stix import TLP_IDS, WHOLE, Marked, definitions_of, mark, read_markings
from intelshare.labels.vocabulary import Vocabulary, Word, WordKind

__all__ = [
    "ALWAYS",
    "AMBER_STRICT",
    "BEGINNING",
    "CLEAR",
    "CONTROLS",
    "EYES_ONLY",
    "JOINT",
    "MAX_LABEL_BYTES",
    "MAX_STIX_BYTES",
    "NOFORN",
    "ORCON",
    "RED",
    "RELIDO",
    "TLP_IDS",
    "TLP_WORDS",
    "UNMARKED",
    "WHOLE",
    "Bound",
    "Converted",
    "Equivalence",
    "Found",
    "Group",
    "Interval",
    "Label",
    "LabelReader",
    "Ladder",
    "LadderRow",
    "Level",
    "Marked",
    "Reach",
    "Reference",
    "Registry",
    "Vocabulary",
    "Word",
    "WordKind",
    "check_stix",
    "convert",
    "convert_reference",
    "definitions_of",
    "first_owner",
    "format_banner",
    "format_portion",
    "format_prose",
    "in_force",
    "interval",
    "is_binding",
    "ladder",
    "level_name",
    "level_reference",
    "mark",
    "named_itself",
    "order_codes",
    "order_controls",
    "parse_label",
    "parse_registry",
    "reach",
    "reach_of",
    "read_binding",
    "read_bundle",
    "read_markings",
    "read_stanag4774",
    "rollup",
    "show_banner",
    "when",
    "write_binding",
    "write_bundle",
    "write_stanag4774",
]
