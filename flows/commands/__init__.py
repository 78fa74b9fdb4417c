"""What the words of `omni` do: a group of commands a file, the words with the functions that they call.

A file has `add_to(commands)`, which declares its words. Nothing heavy is imported before a command needs it: `omni --help`
answers in a fraction of a second.
"""

from __future__ import annotations

import argparse


def add_home(*commands: argparse.ArgumentParser) -> None:
    """--home, for commands that read no settings."""
    for command in commands:
        command.add_argument("--home", default="var", help="folder of models and databases (var)")


def add_set(command: argparse.ArgumentParser, what: str = "override one setting, as a.b=c") -> None:
    """--set, as often as wanted."""
    command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=what)
