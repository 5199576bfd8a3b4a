"""Shows progress on standard error: one line that is rewritten on a terminal, a line for each step elsewhere."""

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
            # The cursor goes back, so that what else is said meanwhile is not glued to the line.
            sys.stderr.write(line.ljust(self.shown) + "\r")
            sys.stderr.flush()
            self.shown = len(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def clear(self):
        """Clears the line for other output."""
        if self.shown:
            sys.stderr.write(" " * self.shown + "\r")
            sys.stderr.flush()
        self.shown = 0
