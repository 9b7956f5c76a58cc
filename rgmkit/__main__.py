"""`python -m rgmkit`."""

from rgmkit.cli import main

if __name__ == "__main__":
    main()
