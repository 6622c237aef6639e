"""Commands for policy authors: labels, treaty and overlay files, test vectors. They need no node."""
