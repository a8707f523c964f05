"""``python -m platform``: the commands, one line each."""

import argparse
from platform.cli import COMMANDS

from trainers import VERSION

if __name__ == "__main__":
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {sentence}" for name, sentence in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m platform",
        description="Search, compare and apply unpaired 64 mT to 3 T brain MRI translators.",
        epilog=f"commands:\n{lines}\n\nexample:\n  python -m platform.search --space asp_dmd.yaml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    parser.parse_args()
    parser.print_help()
