"""The scenarios of scenarios.txt with the official Python client, unchanged: scenarios.py [NAME...]

Prints `passed NAME` or `failed NAME: why` for each, and ends with 1 if one failed. Needs a gateway of the examples' policy
with the services checkout and billing; sessions.py says how it is found.
"""

import asyncio
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from nats.errors import MaxPayloadError, NoRespondersError
from sessions import (
    PATIENCE_SECONDS,
    Events,
    json_session,
    load_certificate,
    receive,
    renew,
    session,
    settled,
    signal_gateway,
    subscribed,
    tls,
)

MAX_PAYLOAD = 524288


async def publish_and_subscribe():
    async with session("billing") as billing, session("checkout") as checkout:
        orders = await subscribed(billing, "orders.created")
        for payload in (b"first", b"", bytes(range(256))):
            await checkout.publish("orders.created", payload)
            message = await receive(orders)
            assert (message.subject, message.data) == ("orders.created", payload), message


async def wildcards():
    async with session("billing") as billing, session("checkout") as checkout:
        one = await subscribed(billing, "orders.*")
        many = await subscribed(billing, "orders.>")
        for subject in ("orders.created.eu", "orders.created"):
            await checkout.publish(subject, b"")
        assert (await receive(one)).subject == "orders.created"
        assert [(await receive(many)).subject for _ in range(2)] == ["orders.created.eu", "orders.created"]


async def queue_group():
    async with session("billing") as first, session("billing") as second, session("checkout") as checkout:
        received, everything = {first: [], second: []}, asyncio.Event()

        async def join(member):
            async def take(message):
                received[member].append(int(message.data))
                if sum(map(len, received.values())) == 200:
                    everything.set()

            await subscribed(member, "orders.created", queue="order-workers", cb=take)

        await join(first)
        await join(second)
        for number in range(200):
            await checkout.publish("orders.created", str(number).encode())
        await asyncio.wait_for(everything.wait(), PATIENCE_SECONDS)
        # What else might be under way arrives before the answers.
        await settled(first)
        await settled(second)
        assert sorted(received[first] + received[second]) == list(range(200)), received
        assert received[first] and received[second], "one member got everything"


async def request_and_reply():
    async with session("billing") as billing, session("checkout") as checkout:

        async def double(message):
            # Answers with the headers of the request, the sender's among them.
            await message.respond(str(2 * int(message.data)).encode())

        await subscribed(billing, "billing.quote", cb=double)
        requests = [checkout.request("billing.quote", str(n).encode(), PATIENCE_SECONDS) for n in range(20)]
        answers = await asyncio.gather(*requests)
        assert [int(answer.data) for answer in answers] == [2 * n for n in range(20)]
        assert all(answer.headers == {"Portcullis-From": "billing"} for answer in answers), answers[0].headers


async def no_responders():
    async with session("checkout") as checkout:
        began = time.monotonic()
        try:
            await checkout.request("billing.quote", b"", PATIENCE_SECONDS)
            raise AssertionError("somebody answered")
        except NoRespondersError:
            assert time.monotonic() - began < PATIENCE_SECONDS / 2


async def headers():
    async with session("billing") as billing, session("checkout") as checkout:
        quotes = await subscribed(billing, "billing.quote")
        asking = asyncio.create_task(
            checkout.request("billing.quote", b"21", PATIENCE_SECONDS, headers={"Trace": "a: b", "Empty": ""})
        )
        asked = await receive(quotes)
        assert asked.headers == {"Trace": "a: b", "Empty": "", "Portcullis-From": "checkout"}, asked.headers
        await billing.publish(asked.reply, b"42", headers={"Unit": "€"})
        answer = await asking
        assert (answer.data, answer.headers) == (b"42", {"Unit": "€", "Portcullis-From": "billing"}), answer


async def forged_sender():
    errors = Events()
    async with session("billing") as billing, session("checkout", errors) as checkout:
        orders = await subscribed(billing, "orders.>")
        for name in ("Portcullis-From", "portcullis-from"):
            await checkout.publish("orders.forged", b"", headers={name: "billing"})
            assert "permissions violation" in str(await errors.next())
        await checkout.publish("orders.honest", b"")
        message = await receive(orders)
        assert (message.subject, message.headers) == ("orders.honest", {"Portcullis-From": "checkout"})


async def no_echo():
    async with session("checkout", no_echo=True) as quiet, session("checkout") as other:
        own = await subscribed(quiet, "services.checkout.>")
        await quiet.publish("services.checkout.mine", b"")
        await settled(quiet)
        await other.publish("services.checkout.theirs", b"")
        assert (await receive(own)).subject == "services.checkout.theirs"


async def is_usable(client, service):
    """A message of its own still comes back."""
    subscription = await subscribed(client, f"services.{service}.still-here")
    await client.publish(f"services.{service}.still-here", b"")
    await receive(subscription)
    assert client.stats["reconnects"] == 0


async def publish_refused():
    errors = Events()
    async with session("billing", errors) as billing:
        await billing.publish("orders.created", b"")
        error = str(await errors.next())
        assert error == 'nats: permissions violation for publish to "orders.created"', error
        await billing.publish("services.billing.x", b"", reply="orders.created")
        error = str(await errors.next())
        assert error == 'nats: permissions violation for publish with reply of "orders.created"', error
        await is_usable(billing, "billing")


async def subscribe_refused():
    errors = Events()
    async with session("checkout", errors) as checkout:
        await checkout.subscribe("orders.>")
        error = str(await errors.next())
        assert error == 'nats: permissions violation for subscription to "orders.>"', error
        await is_usable(checkout, "checkout")


async def flush():
    async with session("checkout") as checkout:
        for _ in range(10):
            await checkout.flush(PATIENCE_SECONDS)


async def unsubscribe_after_max():
    async with session("billing") as billing, session("checkout") as checkout:
        orders = await subscribed(billing, "orders.created")
        await orders.unsubscribe(limit=3)
        await settled(billing)
        for number in range(5):
            await checkout.publish("orders.created", str(number).encode())
        await settled(checkout)
        assert [int((await receive(orders)).data) for _ in range(3)] == [0, 1, 2]
        await settled(billing)
        assert billing.stats["in_msgs"] == 3, "the gateway sent more than was asked for"


async def drain_subscription():
    async with session("billing") as billing, session("checkout") as checkout:
        received = []

        async def take(message):
            received.append(int(message.data))

        drained = await subscribed(billing, "orders.created", cb=take)
        others = await subscribed(billing, "orders.paid")
        for number in range(50):
            await checkout.publish("orders.created", str(number).encode())
        await settled(checkout)
        await asyncio.wait_for(drained.drain(), PATIENCE_SECONDS)
        assert received == list(range(50)), received
        for subject in ("orders.created", "orders.paid"):
            await checkout.publish(subject, b"99")
        await receive(others)
        assert billing.stats["in_msgs"] == 51


async def drain_connection():
    closed = Events()
    async with session("billing") as billing, session("checkout", closed_cb=closed.callback) as checkout:
        orders = await subscribed(billing, "orders.created")
        await subscribed(checkout, "services.checkout.>")
        for number in range(50):
            await checkout.publish("orders.created", str(number).encode())
        await asyncio.wait_for(checkout.drain(), PATIENCE_SECONDS)
        await closed.next()
        assert [int((await receive(orders)).data) for _ in range(50)] == list(range(50))


async def max_payload():
    async with session("checkout") as checkout:
        assert checkout.max_payload == MAX_PAYLOAD, checkout.max_payload
        own = await subscribed(checkout, "services.checkout.>")
        largest = os.urandom(MAX_PAYLOAD)
        await checkout.publish("services.checkout.large", largest)
        assert (await receive(own)).data == largest
        try:
            await checkout.publish("services.checkout.large", largest + b"x")
            raise AssertionError("the client sent more than INFO allows")
        except MaxPayloadError:
            pass


async def many_large_at_once():
    async with session("checkout") as checkout:
        own = await subscribed(checkout, "services.checkout.>")
        large = [os.urandom(MAX_PAYLOAD) for _ in range(5)]
        for payload in large:
            await checkout.publish("services.checkout.large", payload)
        for payload in large:
            assert (await receive(own)).data == payload


async def identity(client):
    answer = await client.request("$SYS.REQ.SESSION.WHOAMI", b"", PATIENCE_SECONDS)
    return json.loads(answer.data)


async def credentials_in_connect():
    for options in ({"user": "billing", "password": "secret"}, {"token": "billing"}):
        async with session("checkout", **options) as checkout:
            assert (await identity(checkout))["service"] == "checkout"


async def whoami():
    async with session("billing") as billing, session("billing") as other:
        mine, theirs = await identity(billing), await identity(other)
        assert mine["service"] == "billing" and mine["challenge"], mine
        assert len(mine["session"]) == 32 and mine["session"] != theirs["session"], mine


async def json_to_nats():
    async with session("billing") as billing, json_session("checkout") as checkout:
        orders = await subscribed(billing, "orders.created")
        publication = {"op": "pub", "topic": "orders.created", "data": {"n": 1}, "headers": {"Trace": "t"}}
        await checkout.send(json.dumps(publication))
        message = await receive(orders)
        assert json.loads(message.data) == {"n": 1}, message.data
        assert message.headers == {"Trace": "t", "Portcullis-From": "checkout"}, message.headers


async def nats_to_json():
    async with json_session("billing") as billing, session("checkout") as checkout:
        await billing.send(json.dumps({"op": "sub", "id": 1, "sid": 1, "topic": "orders.created"}))
        assert json.loads(await billing.recv())["op"] == "ok"
        await checkout.publish("orders.created", b'{"n": 1}', headers={"Trace": "t"})
        message = json.loads(await asyncio.wait_for(billing.recv(), PATIENCE_SECONDS))
        assert (message["from"], message["data"], message["headers"]) == ("checkout", {"n": 1}, {"Trace": "t"}), message


async def certificate_replaced():
    """The gateway ends the session with the certificate, and the client comes back with the next one."""
    happened = Events()

    async def reconnected():
        await happened.callback("reconnected")

    async def closed():
        await happened.callback("closed for good")

    await renew("checkout", "--lifetime", "4s")
    options = {"tls": tls("checkout"), "reconnected_cb": reconnected, "closed_cb": closed}
    async with session("checkout", **options) as checkout:
        before = await identity(checkout)
        await renew("checkout", "--lifetime", "1h")
        load_certificate(options["tls"], "checkout")
        event = await happened.next()
        assert event == "reconnected", event
        assert (await identity(checkout))["expires"] > before["expires"]


async def lame_duck():
    announced, reconnected = Events(), Events()
    callbacks = {"lame_duck_mode_cb": announced.callback, "reconnected_cb": reconnected.callback}
    async with session("checkout", **callbacks):
        signal_gateway(signal.SIGTERM)
        await announced.next()
        await reconnected.next()


async def reconnect():
    reconnected = Events()
    async with session("checkout", reconnected_cb=reconnected.callback) as checkout:
        own = await subscribed(checkout, "services.checkout.>")
        signal_gateway(signal.SIGKILL)
        await reconnected.next()
        await checkout.publish("services.checkout.again", b"")
        assert (await receive(own)).subject == "services.checkout.again"


async def run(name):
    try:
        await asyncio.wait_for(globals()[name](), 3 * PATIENCE_SECONDS)
    except Exception as fault:  # whatever it was, the next scenario is to run
        lines = [frame.lineno for frame in traceback.extract_tb(fault.__traceback__) if frame.filename == __file__]
        print(f"failed {name}: {type(fault).__name__} in line {lines[-1]}: {fault}", flush=True)
        return False
    print(f"passed {name}", flush=True)
    return True


async def main():
    listed = Path(__file__).with_name("scenarios.txt").read_text().split()
    results = [await run(name) for name in sys.argv[1:] or listed]
    return 0 if all(results) else 1


sys.exit(asyncio.run(main()))
