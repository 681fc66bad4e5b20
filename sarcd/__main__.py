"""``python -m sarcd``: the command line, also where another program starts Python, as ``torchrun -m sarcd``."""

from sarcd_cli.main import run

if __name__ == "__main__":
    run()
