"""A chat server with one writer behind it, whose answers are spoiled as it is told."""

import writer
from faulty_server import FaultyServer


class WritingServer(FaultyServer):
    """Answers as `writer` does; `spoiled(content)` says how the first draw of an answer is spoiled, if at all."""

    def __init__(self, spoiled=lambda content: None, **settings):
        super().__init__(heeds_keys=True, **settings)
        self.spoiled = spoiled

    def text_of(self, body):
        content = body["messages"][-1]["content"]
        text = writer.answer(content)
        fault = self.spoiled(content) if body["seed"] == 0 else None
        if fault == "broken JSON":
            return text[:-5]
        if fault == "wrong language":
            return writer.in_spanish(content)
        return {"prose": "I would rather not."}.get(fault, text)
