"""What a tool is at, on standard error: a line that is replaced on a terminal, a line each elsewhere."""

import sys


class Progress:
    """The steps of a run; `seconds` is an estimate of what they take in all, if there is one."""

    def __init__(self, seconds=None):
        self.left = seconds
        self.shown = 0

    def step(self, what, seconds=0):
        """Shows the step that begins now, and takes so long."""
        line = what
        if self.left is not None:
            minutes, rest = divmod(max(0, round(self.left)), 60)
            line = f"{minutes}:{rest:02} left  {what}"
            self.left -= seconds
        if sys.stderr.isatty():
            sys.stderr.write("\r" + line.ljust(self.shown))
            sys.stderr.flush()
            self.shown = len(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def clear(self):
        """Clears the line for other output."""
        if self.shown:
            sys.stderr.write("\r" + " " * self.shown + "\r")
            sys.stderr.flush()
        self.shown = 0
