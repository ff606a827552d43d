"""One session with the gateway, by the environment that the portcullis commands use too."""

import json
import os
import ssl
import time
from math import inf
from urllib.parse import urlsplit

from reauth import FILE_POLL_SECONDS, Renewal
from websockets.sync.client import connect

PROTOCOL = "portcullis.json.v1"


class Session:
    """A context manager: the WebSocket, and `hello` as the gateway sent it.

    A session whose owner keeps calling `receive` outlives its certificate, if the files are replaced before it ends.
    """

    def __enter__(self):
        url, cert, key = (os.environ[f"PORTCULLIS_{name}"] for name in ("URL", "CERT", "KEY"))
        context = ssl.create_default_context(cafile=os.environ["PORTCULLIS_CA"])
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(cert, key)
        self.renewal = Renewal(urlsplit(url).hostname, cert, key)
        self.socket = connect(url, ssl=context, subprotocols=[PROTOCOL])
        self.hello = self.receive()
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, **operation):
        self.socket.send(json.dumps(operation))

    def receive(self, timeout=inf):
        """The next message; TimeoutError if none comes within so many seconds."""
        end = time.monotonic() + timeout
        while True:
            if operation := self.renewal.operation():
                self.send(**operation)
            left = end - time.monotonic()
            pause = min(left, FILE_POLL_SECONDS if self.renewal.is_waiting else inf)
            try:
                message = json.loads(self.socket.recv(None if pause == inf else max(pause, 0)))
            except TimeoutError:
                if pause >= left:
                    raise
                continue
            if not self.renewal.take(message):
                return message

    def ask(self, **operation):
        """Sends an operation that carries `id`, and returns its answer; other messages that come first are lost."""
        self.send(**operation)
        while True:
            answer = self.receive()
            if answer.get("id") != operation["id"]:
                continue
            if answer["op"] == "err":
                raise SystemExit(f"{answer['code']}: {answer['reason']}")
            return answer
