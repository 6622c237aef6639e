"""A bulletin as the analyst wrote it: labelled portions for recipients, before any decision or encryption."""

from intelshare.bulletin.compared import encode_draft
from intelshare.bulletin.content import check_content, content_is_read
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
    "content_is_read",
    "encode_draft",
    "marked_in",
    "media_of",
]
