"""The console: pages about a node for a browser on the same machine. They change nothing.

It uses the client library with the rights of the user who started it (decision 54, docs/console.md):

guard      access: loopback, Host, Origin, the one-time token, the cookie
pages      the fixed table of static files
nodes      the connections to the node, shared by all pages
feed       events and state for every open page
documents  the content of each view, made from the client's answers
web        the ASGI application
run        one console process
"""
