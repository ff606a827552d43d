"""One session with the gateway, by the environment that the portcullis commands use too."""

import json
import os
import ssl

from websockets.sync.client import connect

PROTOCOL = "portcullis.json.v1"


class Session:
    """A context manager: the WebSocket, and `hello` as the gateway sent it."""

    def __enter__(self):
        context = ssl.create_default_context(cafile=os.environ["PORTCULLIS_CA"])
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(os.environ["PORTCULLIS_CERT"], os.environ["PORTCULLIS_KEY"])
        self.socket = connect(os.environ["PORTCULLIS_URL"], ssl=context, subprotocols=[PROTOCOL])
        self.hello = self.receive()
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, **operation):
        self.socket.send(json.dumps(operation))

    def receive(self):
        return json.loads(self.socket.recv())

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
