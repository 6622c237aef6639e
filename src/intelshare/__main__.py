"""``python -m intelshare``: the same as the ``intelshare`` command."""

from intelshare.cli import main

if __name__ == "__main__":
    main()
