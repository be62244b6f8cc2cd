"""`headstart`, and `python -m headstart`."""

import signal


def main() -> None:
    """Run the command line. Ctrl-C while its parts are still imported ends the process without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from headstart.cli import main as run

    run()


if __name__ == "__main__":
    main()
