"""Commands that exchange models with Mini-Omni's releases: `import` and `export`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_to(commands: argparse._SubParsersAction) -> None:
    """Declare the words."""
    of_import = commands.add_parser("import", help="read a released checkpoint into our format")
    of_import.set_defaults(command=import_mini_omni)
    of_import.add_argument("--untied", action="store_true", help="keep lm_head where the file's differs")
    of_export = commands.add_parser("export", help="write it back")
    of_export.set_defaults(command=export_mini_omni)
    for command in (of_import, of_export):
        command.add_argument("format", choices=["mini-omni"], help="mini-omni (Mini-Omni and Mini-Omni2)")
        command.add_argument("source", type=Path, metavar="DIR", help="folder to read")
        command.add_argument("target", type=Path, metavar="OUT", help="folder to make")


def import_mini_omni(arguments: argparse.Namespace) -> None:
    """Read a released checkpoint."""
    from omni_core.mini_omni import checkpoint

    made = checkpoint.import_mini_omni(arguments.source, arguments.target, tied=False if arguments.untied else None)
    print("\n".join([made.summary(), *(f"note: {note}" for note in made.notes)]))


def export_mini_omni(arguments: argparse.Namespace) -> None:
    """Write one."""
    from omni_core.mini_omni import checkpoint

    made = checkpoint.export_mini_omni(arguments.source, arguments.target)
    print("\n".join([made.summary(), *(f"note: {note}" for note in made.notes)]))
