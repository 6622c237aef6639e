"""What the analyst wrote: labelled portions for recipients, before anything is decided or encrypted."""

from intelshare.bulletin.draft import MAX_ID, Draft, check_draft, content_digest

__all__ = ["MAX_ID", "Draft", "check_draft", "content_digest"]
