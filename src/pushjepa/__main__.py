"""``python -m pushjepa`` is the ``pushjepa`` command."""

from pushjepa.cli import main

if __name__ == "__main__":
    main()
