"""Writes bulletins in the formats of other systems, and turns such files into drafts. Pure: values in, values
out.
"""

from intelshare.interop.cap import CATEGORIES, write_cap
from intelshare.interop.combine import combine
from intelshare.interop.drafts import DRAFT, draft_files
from intelshare.interop.marking_table import FILE, MarkingTable, parse_marking_table
from intelshare.interop.misp_in import read_misp
from intelshare.interop.misp_out import event_uuid, write_event, write_hashes, write_manifest
from intelshare.interop.stix_in import DraftPart, Imported, read_stix
from intelshare.interop.stix_out import (
    identity_of,
    is_ours,
    report_id,
    stix_time,
    write_bundle_of,
    write_report,
)
from intelshare.interop.values import Json, Shared, SharedPortion

__all__ = [
    "CATEGORIES",
    "DRAFT",
    "FILE",
    "DraftPart",
    "Imported",
    "Json",
    "MarkingTable",
    "Shared",
    "SharedPortion",
    "combine",
    "draft_files",
    "event_uuid",
    "identity_of",
    "is_ours",
    "parse_marking_table",
    "read_misp",
    "read_stix",
    "report_id",
    "stix_time",
    "write_bundle_of",
    "write_cap",
    "write_event",
    "write_hashes",
    "write_manifest",
    "write_report",
]
