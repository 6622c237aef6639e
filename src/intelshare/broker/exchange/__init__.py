"""Statements between members about a bulletin after it was handed over.

receipt    the recipient's signed statement joins the pair at the sender
recall     the originator takes a bulletin back
consent    the third-party rule: asked, granted, refused, carried in the release
rfi        requests for information: who owes an answer, until when
backfill   earlier bulletins that accession allows are offered to the party that acceded
"""
