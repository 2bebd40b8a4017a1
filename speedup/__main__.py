"""``python -m speedup``: the command, whatever the script of that name on the path is."""

from speedup.cli import main

if __name__ == "__main__":
    main()
