// The scenarios of scenarios.txt with the official JavaScript client, unchanged: scenarios.mjs [NAME...]
//
// Prints `passed NAME` or `failed NAME: why` for each, and ends with 1 if one failed. Needs a gateway of the examples' policy
// with the services checkout and billing; sessions.mjs says how it is found. Runs in the folder of the repository.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { errors, headers as makeHeaders } from "@nats-io/nats-core";
import {
  events, jsonSession, PATIENCE_MS, receive, receiveAll, renew, session, signalGateway, subscribed, within,
} from "./sessions.mjs";

const MAX_PAYLOAD = 524288;
const range = (count) => Array.from({ length: count }, (_, number) => number);

function headersOf(fields) {
  const made = makeHeaders();
  for (const [name, value] of Object.entries(fields)) made.set(name, value);
  return made;
}

/** The headers of a message as a plain object. */
function fieldsOf(message) {
  return Object.fromEntries(message.headers?.keys().map((name) => [name, message.headers.values(name).join()]) ?? []);
}

/** Runs `use` with a session of billing, which takes orders, and one of checkout, which publishes them. */
function bothSessions(use, options) {
  return session("billing", (billing) => session("checkout", (checkout) => use(billing, checkout), options));
}

const scenarios = {
  publish_and_subscribe: () => bothSessions(async (billing, checkout) => {
    const orders = await subscribed(billing, "orders.created");
    for (const payload of [Buffer.from("first"), Buffer.alloc(0), Buffer.from(range(256))]) {
      checkout.publish("orders.created", payload);
      const message = await receive(orders);
      assert.equal(message.subject, "orders.created");
      assert.ok(payload.equals(message.data));
    }
  }),

  wildcards: () => bothSessions(async (billing, checkout) => {
    const [one, many] = [await subscribed(billing, "orders.*"), await subscribed(billing, "orders.>")];
    for (const subject of ["orders.created.eu", "orders.created"]) checkout.publish(subject);
    assert.equal((await receive(one)).subject, "orders.created");
    const subjects = (await receiveAll(many, 2)).map((message) => message.subject);
    assert.deepEqual(subjects, ["orders.created.eu", "orders.created"]);
  }),

  queue_group: () => bothSessions((first, checkout) => session("billing", async (second) => {
    const received = [[], []];
    let everything;
    const complete = new Promise((resolve) => everything = resolve);
    const join = (client, numbers) => {
      const callback = (_, message) => {
        numbers.push(Number(message.string()));
        if (received[0].length + received[1].length === 200) everything();
      };
      client.subscribe("orders.created", { queue: "order-workers", callback });
      return within(client.flush());
    };
    await join(first, received[0]);
    await join(second, received[1]);
    for (const number of range(200)) checkout.publish("orders.created", String(number));
    await within(complete);
    // What else might be under way arrives before the answers.
    await within(Promise.all([first.flush(), second.flush()]));
    assert.deepEqual(received.flat().sort((a, b) => a - b), range(200));
    assert.ok(received[0].length && received[1].length, "one member got everything");
  })),

  request_and_reply: () => bothSessions(async (billing, checkout) => {
    const callback = (_, message) => message.respond(String(2 * Number(message.string())));
    billing.subscribe("billing.quote", { callback });
    await within(billing.flush());
    for (const noMux of [false, true]) {
      const options = { timeout: PATIENCE_MS, noMux };
      const requests = range(20).map((n) => checkout.request("billing.quote", String(n), options));
      const answers = (await Promise.all(requests)).map((answer) => Number(answer.string()));
      assert.deepEqual(answers, range(20).map((n) => 2 * n));
    }
  }),

  no_responders: () => session("checkout", async (checkout) => {
    const began = Date.now();
    const asking = checkout.request("billing.quote", "", { timeout: PATIENCE_MS });
    await assert.rejects(asking, (error) => error instanceof errors.NoRespondersError || error.isNoResponders());
    assert.ok(Date.now() - began < PATIENCE_MS / 2);
  }),

  headers: () => bothSessions(async (billing, checkout) => {
    const quotes = await subscribed(billing, "billing.quote");
    const sent = headersOf({ Trace: "a: b", Empty: "" });
    const asking = checkout.request("billing.quote", "21", { timeout: PATIENCE_MS, headers: sent });
    const asked = await receive(quotes);
    assert.deepEqual(fieldsOf(asked), { Trace: "a: b", Empty: "", "Portcullis-From": "checkout" });
    asked.respond("42", { headers: headersOf({ Unit: "€" }) });
    const answer = await asking;
    assert.equal(answer.string(), "42");
    assert.deepEqual(fieldsOf(answer), { Unit: "€", "Portcullis-From": "billing" });
  }),

  forged_sender: () => bothSessions(async (billing, checkout) => {
    const orders = await subscribed(billing, "orders.>");
    const happened = events(checkout);
    for (const name of ["Portcullis-From", "portcullis-from"]) {
      checkout.publish("orders.forged", "", { headers: headersOf({ [name]: "billing" }) });
      const { error } = await receive(happened, "error");
      assert.ok(error instanceof errors.PermissionViolationError, error);
    }
    checkout.publish("orders.honest");
    const message = await receive(orders);
    assert.equal(message.subject, "orders.honest");
    assert.deepEqual(fieldsOf(message), { "Portcullis-From": "checkout" });
  }),

  no_echo: () => session("checkout", (quiet) => session("checkout", async (other) => {
    const own = await subscribed(quiet, "services.checkout.>");
    quiet.publish("services.checkout.mine");
    await within(quiet.flush());
    other.publish("services.checkout.theirs");
    assert.equal((await receive(own)).subject, "services.checkout.theirs");
  }), { noEcho: true }),

  publish_refused: () => session("billing", async (billing) => {
    const happened = events(billing);
    billing.publish("orders.created");
    const { error } = await receive(happened, "error");
    assert.ok(error instanceof errors.PermissionViolationError, error);
    assert.deepEqual([error.operation, error.subject], ["publish", "orders.created"]);
    billing.publish("services.billing.x", "", { reply: "orders.created" });
    const { error: ofReply } = await receive(happened, "error");
    assert.ok(ofReply instanceof errors.PermissionViolationError, ofReply);
    assert.match(ofReply.message, /with reply of "orders.created"/i);
    await isUsable(billing, "billing");
  }),

  subscribe_refused: () => session("checkout", async (checkout) => {
    const happened = events(checkout);
    const told = new Promise((callback) => checkout.subscribe("orders.>", { queue: "order-workers", callback }));
    const { error } = await receive(happened, "error");
    assert.ok(error instanceof errors.PermissionViolationError, error);
    assert.deepEqual([error.operation, error.subject, error.queue], ["subscription", "orders.>", "order-workers"]);
    assert.equal(await within(told), error, "the subscription hears of it too");
    await isUsable(checkout, "checkout");
  }),

  flush: () => session("checkout", async (checkout) => {
    for (const _ of range(10)) assert.ok((await within(checkout.rtt())) < PATIENCE_MS);
  }),

  unsubscribe_after_max: () => bothSessions(async (billing, checkout) => {
    const orders = await subscribed(billing, "orders.created", { max: 3 });
    for (const number of range(5)) checkout.publish("orders.created", String(number));
    await within(checkout.flush());
    const numbers = (await receiveAll(orders, 3)).map((message) => Number(message.string()));
    assert.deepEqual(numbers, [0, 1, 2]);
    await within(billing.flush());
    assert.equal(billing.stats().inMsgs, 3, "the gateway sent more than was asked for");
  }),

  drain_subscription: () => bothSessions(async (billing, checkout) => {
    const numbers = [];
    const drained = billing.subscribe("orders.created", { callback: (_, message) => numbers.push(Number(message.string())) });
    const others = await subscribed(billing, "orders.paid");
    for (const number of range(50)) checkout.publish("orders.created", String(number));
    await within(checkout.flush());
    await within(drained.drain());
    assert.deepEqual(numbers, range(50));
    for (const subject of ["orders.created", "orders.paid"]) checkout.publish(subject);
    await receive(others);
    assert.equal(billing.stats().inMsgs, 51);
  }),

  drain_connection: () => session("billing", async (billing) => {
    const orders = await subscribed(billing, "orders.created");
    await session("checkout", async (checkout) => {
      await subscribed(checkout, "services.checkout.>");
      for (const number of range(50)) checkout.publish("orders.created", String(number));
      await within(checkout.drain());
      assert.equal(await within(checkout.closed()), undefined);
    });
    const numbers = (await receiveAll(orders, 50)).map((message) => Number(message.string()));
    assert.deepEqual(numbers, range(50));
  }),

  max_payload: () => session("checkout", async (checkout) => {
    assert.equal(checkout.info.max_payload, MAX_PAYLOAD);
    const own = await subscribed(checkout, "services.checkout.>");
    const largest = randomBytes(MAX_PAYLOAD);
    checkout.publish("services.checkout.large", largest);
    assert.ok(largest.equals((await receive(own)).data));
    assert.throws(() => checkout.publish("services.checkout.large", Buffer.alloc(MAX_PAYLOAD + 1)));
  }),

  // The client gathers them in one message of the WebSocket.
  many_large_at_once: () => session("checkout", async (checkout) => {
    const own = await subscribed(checkout, "services.checkout.>");
    const large = Array.from({ length: 5 }, () => randomBytes(MAX_PAYLOAD));
    for (const payload of large) {
      checkout.publish("services.checkout.large", payload);
    }
    for (const payload of large) {
      assert.ok(payload.equals((await receive(own)).data));
    }
  }),

  credentials_in_connect: async () => {
    for (const options of [{ user: "billing", pass: "secret" }, { token: "billing" }]) {
      const { service } = await session("checkout", identity, options);
      assert.equal(service, "checkout");
    }
  },

  whoami: async () => {
    const [mine, theirs] = [await session("billing", identity), await session("billing", identity)];
    assert.equal(mine.service, "billing");
    assert.ok(mine.challenge);
    assert.match(mine.session, /^[0-9a-f]{32}$/);
    assert.notEqual(mine.session, theirs.session);
  },

  json_to_nats: () => session("billing", async (billing) => {
    const orders = await subscribed(billing, "orders.created");
    const publication = { op: "pub", topic: "orders.created", data: { n: 1 }, headers: { Trace: "t" } };
    const message = await jsonSession("checkout", ({ send }) => {
      send(publication);
      return receive(orders);
    });
    assert.deepEqual(message.json(), { n: 1 });
    assert.deepEqual(fieldsOf(message), { Trace: "t", "Portcullis-From": "checkout" });
  }),

  nats_to_json: () => session("checkout", (checkout) => jsonSession("billing", async (billing) => {
    billing.send({ op: "sub", id: 1, sid: 1, topic: "orders.created" });
    assert.equal((await billing.receive()).op, "ok");
    checkout.publish("orders.created", '{"n": 1}', { headers: headersOf({ Trace: "t" }) });
    const { from, data, headers } = await billing.receive();
    assert.deepEqual({ from, data, headers }, { from: "checkout", data: { n: 1 }, headers: { Trace: "t" } });
  })),

  // The gateway ends the session with the certificate, and the client comes back with the next one.
  certificate_replaced: async () => {
    await renew("checkout", "--lifetime", "4s");
    await session("checkout", async (checkout) => {
      const happened = events(checkout);
      const before = await identity(checkout);
      await renew("checkout", "--lifetime", "1h");
      await receive(happened, "reconnect");
      assert.ok((await identity(checkout)).expires > before.expires);
    });
  },

  lame_duck: () => session("checkout", async (checkout) => {
    const happened = events(checkout);
    signalGateway("SIGTERM");
    await receive(happened, "ldm");
    await receive(happened, "reconnect");
  }),

  reconnect: () => session("checkout", async (checkout) => {
    const happened = events(checkout);
    const own = await subscribed(checkout, "services.checkout.>");
    signalGateway("SIGKILL");
    await receive(happened, "reconnect");
    checkout.publish("services.checkout.again");
    assert.equal((await receive(own)).subject, "services.checkout.again");
  }),
};

/** A message of its own still comes back. */
async function isUsable(client, service) {
  const own = await subscribed(client, `services.${service}.still-here`);
  client.publish(`services.${service}.still-here`);
  await receive(own);
}

async function identity(client) {
  const answer = await client.request("$SYS.REQ.SESSION.WHOAMI", "", { timeout: PATIENCE_MS });
  return answer.json();
}

async function run(name) {
  try {
    await within(scenarios[name](), 3 * PATIENCE_MS);
    console.log(`passed ${name}`);
  } catch (error) {
    const line = /scenarios\.mjs:\d+/.exec(error.stack)?.[0] ?? "";
    console.log(`failed ${name}: ${line} ${String(error.message).replaceAll(/\s+/g, " ")}`);
    process.exitCode = 1;
  }
}

const listed = readFileSync(new URL("scenarios.txt", import.meta.url), "utf8").trim().split("\n");
for (const name of process.argv.length > 2 ? process.argv.slice(2) : listed) await run(name);
