"""A chat server that fails as it is told, and counts what it was paid for."""

import collections
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = 5  # tokens of every reply, as it counts them


class FaultyServer:
    """Answers "reply to CONTENT"; `faults(try, content)` says what goes wrong with try number 0, 1, ... of a request.

    A fault is None, a status, ("status", Retry-After), "timeout", "cut", "broken", "other", or another body in bytes. A request
    is paid for when its whole answer has left; `paid` counts by Idempotency-Key. With `heeds_keys` an answer that is asked for
    again, under the key of one that was paid for, is free; `given_again` counts those. A refusal begins with `refused`.
    """

    def __init__(
        self,
        faults=lambda number, content: None,
        key=None,
        content_of=lambda content: f"reply to {content}",
        heeds_keys=False,
        refused="",
    ):
        self.refused = refused
        self.faults, self.key, self.content_of, self.heeds_keys = faults, key, content_of, heeds_keys
        self.tries, self.paid, self.given_again = collections.Counter(), collections.Counter(), collections.Counter()
        self.bodies, self.at_once, self.most_at_once = [], 0, 0
        self.lock, self.late = threading.Lock(), threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                with contextlib.suppress(OSError):  # whoever asked may have gone
                    owner.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.late.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, request):
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        content, name = body["messages"][-1]["content"], request.headers["Idempotency-Key"]
        with self.lock:
            number = self.tries[name]
            self.tries[name] += 1
            self.bodies.append(body)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        if self.key is not None and request.headers["Authorization"] != f"Bearer {self.key}":
            refused = {"error": {"message": f"Incorrect API key provided: {request.headers['Authorization']}"}}
            self.send(request, 401, json.dumps(refused).encode())
        else:
            self.fail_or_answer(request, self.faults(number, content), body, name)

    def text_of(self, body):
        """The reply to a request."""
        return self.content_of(body["messages"][-1]["content"])

    def fail_or_answer(self, request, fault, body, name):
        message = {"role": "assistant", "content": self.text_of(body)}
        usage = {"prompt_tokens": len(body["messages"][-1]["content"].split()), "completion_tokens": WORDS}
        answer = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}).encode()
        if fault is None:
            with self.lock:  # before the answer leaves: whoever has it may look at once
                counted = self.given_again if self.heeds_keys and name in self.paid else self.paid
                counted[name] += 1
            try:
                self.send(request, 200, answer)
            except OSError:
                with self.lock:
                    counted[name] -= 1
                    counted += collections.Counter()  # names that have nothing left go
                raise
        elif fault == "timeout":
            self.end()
            self.late.wait(20)
        elif fault == "cut":
            self.send(request, 200, answer[: len(answer) // 2], length=len(answer))
        elif fault == "broken":
            self.send(request, 200, answer[:-2])
        elif fault == "other":
            self.send(request, 200, b'{"hello": "world"}')
        elif isinstance(fault, bytes):
            self.send(request, 200, fault)
        else:
            status, after = fault if isinstance(fault, tuple) else (fault, None)
            said = json.dumps({"error": {"message": f"{self.refused}no, with the key {self.key}"}}).encode()
            self.send(request, status, said, headers={} if after is None else {"Retry-After": after})

    def end(self):
        """Count a request as no longer at work, before its answer leaves: whoever has it may ask again at once."""
        with self.lock:
            self.at_once -= 1

    def send(self, request, status, body, length=None, headers=None):
        self.end()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)
