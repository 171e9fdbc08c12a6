"""Makes one shell script of the command blocks of a guide: blocks.py GUIDE.md [--root DIR] > script.

Blocks of `sh` run in one shell, in order, as a reader would type them; `python` by $UWSD_TEST_PYTHON. A block of `toml`, `ini`,
`nginx`, `apache` or `text` whose line before it ends with a path in backquotes and a colon (`/etc/…`:) is written to that file,
below DIR with --root. Any other language, and a block that is neither run nor written, is an error: what stands in a guide is true.
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


def main(guide, root):
    lines = open(guide).read().splitlines()
    print("set -euo pipefail\nfailed() { echo \"FAILED: the block at $block\" >&2; }\ntrap failed ERR")
    count = 0
    for number, language, before, body in blocks(lines):
        place = f"{guide}:{number}"
        print(f"block='{place}'\nprintf '\\n== %s\\n' \"$block\"")
        if language == "sh":
            print("\n".join(body))
        elif language == "python":
            print("\"$UWSD_TEST_PYTHON\" - <<'END OF BLOCK'\n" + "\n".join(body) + "\nEND OF BLOCK")
        elif language in WRITTEN and FILE.search(before):
            path = root + FILE.search(before)[1]
            print(f"mkdir -p \"$(dirname '{path}')\"\ncat > '{path}' <<'END OF BLOCK'\n" + "\n".join(body) + "\nEND OF BLOCK")
        else:
            sys.exit(f"{place}: a block of {language or 'no language'} that is neither run nor written to a file")
        count += 1
    if count == 0:
        sys.exit(f"{guide} has no blocks")
    print(f"echo; echo '{count} blocks of {guide} did what they say'")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(arguments[0], arguments[2] if arguments[1:2] == ["--root"] else "")
