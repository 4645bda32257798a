"""A page of HTML as a browser would take it: parsed, every element closed."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "wbr", "img", "hr", "input"}


class Page(HTMLParser):
    """What a browser would find: text, attributes, and tables by caption as {label: [(value, text, title)]}."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.attributes, self.tables, self.text, self.tags = [], [], [], {}, [], set()
        self.caption, self.row, self.cell, self.value, self.title = "", None, None, None, ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "figcaption":
            self.caption = ""
        elif tag == "tr":
            self.row = []
        elif tag in ("td", "th"):
            self.cell, self.value, self.title = "", None, found.get("title", "")
        elif tag == "data":
            self.value = float(found["value"])

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.row.append((self.value, " ".join(self.cell.split()), self.title))
            self.cell = None
        elif tag == "tr":
            self.tables.setdefault(self.caption, {})[self.row[0][1]] = self.row[1:]

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] == "figcaption":
            self.caption += data
        if self.cell is not None:
            self.cell += data
