"""Words of a command line enter, exit code 0 leaves, or 2 with one sentence that names the thing and the mend.

omni run quickstart --set components.codec.patch_frames=6        omni answer question.wav        omni --help
"""

from __future__ import annotations

import argparse
import sys

from flows.commands import every_day, exchange, models, runs


def main(argv: list[str] | None = None) -> int:
    """Entry point of `omni`."""
    arguments = parser().parse_args(argv)
    from data_contracts.errors import OmniError

    try:
        return int(arguments.command(arguments) or 0)
    except OmniError as error:
        print(f"omni: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("omni: stopped; finished stages are kept, start again to go on", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The commands and what they take."""
    top = argparse.ArgumentParser(prog="omni", description="Swap a component, run one flow, get a proven model.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for group in (runs, models, exchange, every_day):
        group.add_to(commands)
    return top


if __name__ == "__main__":
    sys.exit(main())
