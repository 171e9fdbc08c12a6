"""Looks whether guides quote messages that the program really has: messages.py SOURCES GUIDE.md...

A quoted message is a line `> text`, or stands in “ ”. Where it has `…`, the program puts something in. Every other part of it has to
stand in one string of the sources, as it is: a message that was reworded fails here.
"""

import pathlib
import re
import sys

STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.S)


def strings(folder):
    """The texts of all strings in the sources, one a line, as the program prints them but for what it puts in."""
    found = []
    for path in sorted(pathlib.Path(folder).rglob("*.rs")):
        for text in STRING.findall(path.read_text().replace("'\"'", "")):
            text = re.sub(r"\\\n\s*", "", text).replace('\\"', '"')
            found.append(text)
    return "\n".join(found)


def quoted(guide):
    """Number of the line and text of each quoted message."""
    text = open(guide).read()
    for match in re.finditer(r"^> (.+)$|“([^”]+)”", text, re.M):
        message = match[1] or re.sub(r"\s+", " ", match[2])
        if message.strip():
            yield text.count("\n", 0, match.start()) + 1, message


def main(folder, guides):
    known, wrong, count = strings(folder), [], 0
    for guide in guides:
        for number, text in quoted(guide):
            parts = [part.strip(" :") for part in text.split("…")]
            parts = [part for part in parts if len(part) > 3]
            count += 1
            if not parts:
                wrong.append(f"{guide}:{number}: too little of it is quoted: {text}")
            wrong += [f"{guide}:{number}: no string of {folder} has: {part}" for part in parts if part not in known]
    if count == 0:
        wrong.append("nothing is quoted")
    print("\n".join(wrong) or f"{count} messages")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
