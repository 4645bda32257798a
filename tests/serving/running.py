"""The server of a model in a thread of this process, on a port of its own."""

import contextlib
import threading
import time

from remid_jax.parallel import Devices
from remid_jax.scoring.store import Store
from remid_jax.serving.app import application
from remid_jax.serving.served import Limits, Served
from remid_jax.serving.server import address_of, listen, server_of


@contextlib.contextmanager
def running(model, token=None, max_prompt=400, max_new=32, store=":memory:"):
    """Gives (base URL, what is served) while the server runs."""
    served = Served("tiny", model, Devices(), Store(store), 1024, 1024, 4, Limits(max_prompt, max_new))
    listening = listen("127.0.0.1", 0)
    server = server_of(application(served, token))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield address_of(listening), served
    finally:
        server.should_exit = True
        thread.join(20)
        served.close()
