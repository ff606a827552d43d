// Sessions of the services of one gateway, with the official NATS client and in the native protocol.
//
// By the environment: PORTCULLIS_URL, PORTCULLIS_CA and PORTCULLIS_CA_DIR, and in the file PORTCULLIS_PID_FILE the process
// that somebody starts again whenever it ends.

import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { wsconnect } from "@nats-io/nats-core";
import WebSocket from "ws";

const url = process.env.PORTCULLIS_URL.replace(/\/$/, "");
export const PATIENCE_MS = 10_000;

function tls(service) {
  const folder = `${process.env.PORTCULLIS_CA_DIR}/services/${service}`;
  const [ca, cert, key] = [process.env.PORTCULLIS_CA, `${folder}/chain.pem`, `${folder}/key.pem`];
  return { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) };
}

/** A new certificate and key in the files of this service. */
export async function renew(service, ...options) {
  await promisify(execFile)("scripts/renew-service", [service, ...options]);
}

/** Fails when the promise takes too long. */
export async function within(promise, milliseconds = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came within ${milliseconds} ms`)), milliseconds);
  });
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Runs `use` with a connection of this service for each set of options. */
export async function session(service, use, options = {}) {
  const client = await within(wsconnect({
    servers: `${url}/nats`,
    wsFactory: async (url) => ({ socket: new WebSocket(url, tls(service)), encrypted: true }),
    reconnectTimeWait: 100,
    maxReconnectAttempts: -1,
    ...options,
  }));
  try {
    return await use(client);
  } finally {
    await within(client.close());
  }
}

/** Runs `use` with a connection of this service in the native protocol. */
export async function jsonSession(service, use) {
  const socket = new WebSocket(`${url}/`, "portcullis.json.v1", tls(service));
  const messages = [], waiting = [];
  socket.on("message", (text) => {
    const message = JSON.parse(text);
    waiting.length ? waiting.shift()(message) : messages.push(message);
  });
  await within(once(socket, "open"));
  const receive = () => within(new Promise((take) => messages.length ? take(messages.shift()) : waiting.push(take)));
  try {
    if ((await receive()).op !== "hello") throw new Error("the first message is `hello`");
    return await use({ send: (message) => socket.send(JSON.stringify(message)), receive });
  } finally {
    socket.terminate();
  }
}

/** What arrives at a subscription that the gateway knows of: a subscription or a status can be iterated only once. */
export async function subscribed(client, subject, options) {
  const subscription = client.subscribe(subject, options);
  await within(client.flush());
  return subscription[Symbol.asyncIterator]();
}

/** What happens to the client from here on. */
export function events(client) {
  return client.status()[Symbol.asyncIterator]();
}

/** The next message, or the next event of this type. */
export async function receive(iterator, type) {
  for (;;) {
    const { value, done } = await within(iterator.next());
    if (done) throw new Error("it ended");
    if (type === undefined || value.type === type) return value;
  }
}

/** So many messages in a row. */
export async function receiveAll(iterator, count) {
  const messages = [];
  while (messages.length < count) messages.push(await receive(iterator));
  return messages;
}

export function signalGateway(name) {
  process.kill(Number(readFileSync(process.env.PORTCULLIS_PID_FILE, "utf8")), name);
}
