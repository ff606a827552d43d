"""Sessions of the services of one gateway, with the official NATS client and in the native protocol.

By the environment: PORTCULLIS_URL, PORTCULLIS_CA and PORTCULLIS_CA_DIR, and in the file PORTCULLIS_PID_FILE the process that
somebody starts again whenever it ends.
"""

import asyncio
import json
import os
import ssl
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from websockets.asyncio.client import connect as connect_websocket

URL = os.environ["PORTCULLIS_URL"].rstrip("/")
PATIENCE_SECONDS = 10


class Events(asyncio.Queue):
    """What a callback of the client was called with."""

    async def callback(self, event=None):
        self.put_nowait(event)

    async def next(self):
        return await asyncio.wait_for(self.get(), PATIENCE_SECONDS)


def tls(service):
    context = ssl.create_default_context(cafile=os.environ["PORTCULLIS_CA"])
    load_certificate(context, service)
    return context


def load_certificate(context, service):
    folder = Path(os.environ["PORTCULLIS_CA_DIR"], "services", service)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")


async def renew(service, *options):
    """A new certificate and key in the files of this service."""
    script = Path(__file__).parents[2] / "scripts/renew-service"
    renewing = await asyncio.create_subprocess_exec(script, service, *options, stdout=asyncio.subprocess.DEVNULL)
    assert await renewing.wait() == 0


@asynccontextmanager
async def session(service, errors=None, **options):
    """A connection of this service; errors go to `errors`, if they are expected."""
    errors = errors or Events()
    options = {"tls": tls(service), "reconnect_time_wait": 0.1, "max_reconnect_attempts": -1} | options
    connecting = nats.connect(f"{URL}/nats", error_cb=errors.callback, **options)
    try:
        client = await asyncio.wait_for(connecting, PATIENCE_SECONDS)
    except asyncio.TimeoutError:
        # It tries again without an end.
        raise ConnectionError(f"no connection: {await errors.next()}") from None
    try:
        yield client
    finally:
        if not client.is_closed:
            await asyncio.wait_for(client.close(), PATIENCE_SECONDS)


@asynccontextmanager
async def json_session(service):
    """A connection of this service in the native protocol."""
    subprotocols = ["portcullis.json.v1"]
    async with connect_websocket(f"{URL}/", ssl=tls(service), subprotocols=subprotocols) as socket:
        assert json.loads(await socket.recv())["op"] == "hello"
        yield socket


async def settled(client):
    """What the client sent has been taken, and what was on its way to it has come."""
    # Its `flush` sends the PING before what waits to be sent, so that only the second one comes after it.
    for _ in range(2):
        await client.flush(PATIENCE_SECONDS)


async def subscribed(client, subject, **options):
    """A subscription that the gateway knows of."""
    subscription = await client.subscribe(subject, **options)
    await settled(client)
    return subscription


async def receive(subscription):
    return await subscription.next_msg(PATIENCE_SECONDS)


def signal_gateway(number):
    os.kill(int(Path(os.environ["PORTCULLIS_PID_FILE"]).read_text()), number)
