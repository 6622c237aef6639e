"""The command ``treaty``: compares, draws and checks files, and sends a party's acts through a
running node.
"""
