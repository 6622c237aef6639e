"""What the analyst wrote: labelled portions for recipients, before anything is decided or encrypted."""

from intelshare.bulletin.compared import content_digest, encode_draft
from intelshare.bulletin.content import check_content, states_markings
from intelshare.bulletin.draft import MAX_ID, Draft, check_draft

__all__ = [
    "MAX_ID",
    "Draft",
    "check_content",
    "check_draft",
    "content_digest",
    "encode_draft",
    "states_markings",
]
