"""Command line of tools/from-nginx."""

import os
import sys
from pathlib import Path

import crossplane

import convert

EXAMPLES = Path(__file__).parent / "examples"


def converted(path):
    """The YAML for an nginx file, and what was not translated."""
    payload = crossplane.parse(str(path), combine=True, comments=False, strict=False)
    errors = [f"{error['file']}:{error['line']}: {error['error']}" for error in payload["errors"]]
    if errors:
        raise SystemExit("\n".join(["tools/from-nginx: cannot be read:"] + errors))
    parsed = payload["config"][0]["parsed"] if payload["config"] else []
    return convert.Conversion(parsed, str(path)).result()


def self_test():
    """Compares every example with what it should become. Of those in `refused` nothing is left that can be served."""
    wrong = 0
    examples = sorted(EXAMPLES.rglob("*.conf"))
    for example in examples:
        text, _ = converted(example)
        text = text.replace(str(example.parent) + os.sep, "")
        expected = example.with_suffix(".yaml")
        if "UPDATE" in os.environ:
            expected.write_text(text)
        is_same = expected.exists() and expected.read_text() == text
        print(f"{'ok' if is_same else 'DIFFERS'}  {example.name}")
        if not is_same:
            wrong += 1
            sys.stdout.write(text)
    if not examples:
        raise SystemExit("tools/from-nginx: no examples")
    return 1 if wrong else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) > 1 or any(word.startswith("-") for word in arguments):
        print(f"tools/from-nginx: unknown: {' '.join(arguments)}: see --help", file=sys.stderr)
        return 2
    path = Path(arguments[0] if arguments else "/etc/nginx/nginx.conf")
    if not path.is_file():
        print(f"tools/from-nginx: {path}: no such file", file=sys.stderr)
        return 2
    try:
        text, untranslated = converted(path)
    except SystemExit as error:
        print(error, file=sys.stderr)
        return 2
    sys.stdout.write(text)
    for place, what in untranslated:
        print(f"{place}: {what}", file=sys.stderr)
    return 3 if untranslated else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
