"""The gateway process: hands bulletins to this member's tools over TAXII 2.1, beside the node
(docs/gateways.md).

It uses the client library, as a user with the role gateway; starlette and uvicorn are an extra.
"""
