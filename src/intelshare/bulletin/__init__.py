"""What the analyst wrote: labelled portions for recipients, before anything is decided or encrypted."""

from intelshare.bulletin.compared import content_digest, encode_draft
from intelshare.bulletin.content import check_content, states_markings
from intelshare.bulletin.draft import MAX_ID, MAX_RECIPIENTS, Draft, check_draft
from intelshare.bulletin.request import Marked, Word, marked_in, media_of

__all__ = [
    "MAX_ID",
    "MAX_RECIPIENTS",
    "Draft",
    "Marked",
    "Word",
    "check_content",
    "check_draft",
    "content_digest",
    "encode_draft",
    "marked_in",
    "media_of",
    "states_markings",
]
