"""What the tools in Python share: their arguments, the Evener they run, and how they say what is wrong."""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NAME = f"tools/{pathlib.Path(sys.argv[0]).name}"
# Where cargo builds; a relative directory counts from where it is run.
TARGET = ROOT / (os.environ.get("CARGO_TARGET_DIR") or "target")


def fail(what):
    """Exits with 2, as for any mistake in how a tool is called or what it finds on the machine."""
    print(f"{NAME}: {what}", file=sys.stderr)
    sys.exit(2)


class Parser(argparse.ArgumentParser):
    """The text at the top of a tool is its help. What is wrong is one line."""

    def __init__(self, text, **more):
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=NAME, description=text, formatter_class=layout, allow_abbrev=False, **more)

    def error(self, message):
        fail(f"{message}; see {NAME} --help")


def number(kind, low, high):
    """A type of arguments: a number within bounds."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"invalid value {text!r}: expected {what} from {low} to {high}")
        return value

    return parse


def require(*programs):
    """Fails if one of these programs is not installed."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        fail(f"{', '.join(missing)} missing: run {NAME} --install")


def install(*packages):
    """Installs packages of Debian or Ubuntu, and says so."""
    print(f"{NAME}: installing {', '.join(packages)} with apt-get", file=sys.stderr)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        try:
            subprocess.run(["apt-get", *words], env=environment, check=True, stdout=sys.stderr)
        except (OSError, subprocess.CalledProcessError) as error:
            fail(f"could not install: {error}")


def evener(given, profile="release"):
    """The path of the binary that was named, or of a build of this tree."""
    if given:
        path = shutil.which(given)
        return os.path.abspath(path) if path else fail(f"{given} is no program")
    words = ["cargo", "build", "--locked", "--quiet", *(["--release"] if profile == "release" else [])]
    print(f"{NAME}: a {profile} build of Evener: some minutes, unless there is one", file=sys.stderr)
    try:
        subprocess.run(words, cwd=ROOT, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        fail(f"could not build Evener: {error}")
    return str(TARGET / profile / "evener")
