"""What was not translated, and what is different."""


class Report:
    """Collects, with the place of each statement."""

    def __init__(self, main):
        self.main = main
        self.missing = []
        self.notes = []

    def place(self, statement):
        return f"{statement.get('file', self.main)}:{statement['line']}"

    def untranslated(self, statement, what):
        self.missing.append((self.place(statement), what))

    def once(self, statement, what):
        if (self.place(statement), what) not in self.missing:
            self.untranslated(statement, what)

    def note(self, statement, what):
        if what not in [known for _, known in self.notes]:
            self.notes.append((self.place(statement), what))

    def comments(self):
        text = ""
        for title, entries in [("Not translated", self.missing), ("Different in Evener", self.notes)]:
            if entries:
                text += f"\n# {title}:\n" + "".join(f"# {place}: {what}\n" for place, what in entries)
        return text
