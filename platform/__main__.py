"""``python -m platform``: the commands, one line each."""

from platform.cli import COMMANDS, Parser

if __name__ == "__main__":
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:{width}}  {line}" for name, line in COMMANDS.items())
    example = "example:\n  python -m platform.search --space asp_dmd.yaml"
    sentence = "Search, compare and apply unpaired 64 mT to 3 T brain MRI translators."
    parser = Parser("platform", sentence, f"commands:\n{lines}\n\n{example}")
    _, unknown = parser.parse_known_args()
    if unknown:
        names = ", ".join(f"platform.{name}" for name in COMMANDS)
        parser.error(f"{unknown[0]!r} is not allowed; allowed: python -m one of {names}")
    parser.print_help()
