"""The codec, domains, suites and AEAD: the only room that imports cryptography and nacl.

Import from the modules: ``codec`` and ``records`` (what is signed), ``pae`` (what is hashed), ``suites``
(keys and signatures), ``aead`` and ``rest`` (what is encrypted), ``x509`` (TLS only).
"""
