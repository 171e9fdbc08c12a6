"""Makes one shell script of the command blocks of a guide: blocks.py GUIDE.md [--without COMMAND,...] > script.

Blocks of `sh` run in one shell, in order, as a reader would type them; `python` by $UWSD_TEST_PYTHON. A block of `toml`, `ini`,
`nginx`, `apache` or `text` whose line before it ends with a path in backquotes and a colon (`/etc/…`:) is written to that file.
Any other language, and a block that is neither run nor written, is an error: what stands in a guide is true. With --without, a
block of `sh` that names `uwsd COMMAND`, or a unit uwsd-COMMAND, of a COMMAND that this program lacks, is skipped aloud.
"""

import re
import sys

RUN = {"sh", "python"}
WRITTEN = {"toml", "ini", "nginx", "apache", "text", "yaml"}
FILE = re.compile(r"`(/[^`]+)`:$")


def blocks(lines):
    """Yields number of the first line, language, the line before it that is not empty, and the lines of each block."""
    before, at = "", 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("```"):
            end = next(n for n in range(at + 1, len(lines)) if lines[n] == "```")
            yield at + 1, line[3:].strip(), before, lines[at + 1 : end]
            at = end
        elif line.strip():
            before = line.rstrip()
        at += 1


def main(guide, without):
    lacking = re.compile(rf"\buwsd[ -]({'|'.join(without)})\b") if without else None
    lines = open(guide).read().splitlines()
    print("set -euo pipefail\nfailed() { echo \"FAILED: the block at $block\" >&2; }\ntrap failed ERR")
    count = 0
    for number, language, before, body in blocks(lines):
        place = f"{guide}:{number}"
        print(f"block='{place}'\nprintf '\\n== %s\\n' \"$block\"")
        missing = lacking.search("\n".join(body)) if lacking and language == "sh" else None
        if missing:
            print(f"echo 'SKIPPED: this program has no uwsd {missing[1]}'")
        elif language == "sh":
            print("\n".join(body))
        elif language == "python":
            print("\"$UWSD_TEST_PYTHON\" - <<'END OF BLOCK'\n" + "\n".join(body) + "\nEND OF BLOCK")
        elif language in WRITTEN and FILE.search(before):
            path = FILE.search(before)[1]
            print(f"mkdir -p \"$(dirname '{path}')\"\ncat > '{path}' <<'END OF BLOCK'\n" + "\n".join(body) + "\nEND OF BLOCK")
        else:
            sys.exit(f"{place}: a block of {language or 'no language'} that is neither run nor written to a file")
        count += 1
    if count == 0:
        sys.exit(f"{guide} has no blocks")
    print(f"echo; echo '{count} blocks of {guide} did what they say'")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    lacks = arguments[2].split(",") if arguments[1:2] == ["--without"] else []
    main(arguments[0], lacks)
