// What the Node checks share: their list, the settings of the run, and a look into the emulator's books.
// The counterpart of common.py, with the same names.

import { createRequire } from "node:module";

import { check, equal, hold } from "../checks.mjs";

export { check, equal, hold };

/** The packages are below the target directory, where an import from here would not look. */
export const load = createRequire(`${process.env.PACKAGES}/`);

export const { PROXY_URL: PROXY, EMULATOR_ORIGIN: EMULATOR, CLIENT_KEY, UPSTREAM_KEY } = process.env;

// What the emulator says: one word per token, always the same (emulator/src/api/text.rs).
export const ANSWER = "Hello from the emulator, which answers every question with the same words in turn.";
export const TOKENS = 16;
export const QUESTION = [{ role: "user", content: "Say hello, please." }]; // 18 bytes, 4 to the token
export const QUESTION_TOKENS = 5;

// How it calls a tool (emulator/src/api/tools.rs).
export const TOOL = "weather";
export const SCHEMA = { type: "object", properties: { place: { type: "string" } }, required: ["place"] };
export const ARGUMENTS = { place: "Paris" };
export const CALL_TOKENS = 5;
export const RESULT = "sunny, 24 degrees";

// Bytes of 300 KB that repeat nowhere within a piece of a body.
const bytes = Buffer.alloc(300_000);
for (let n = 0; n < 75_000; n++) bytes.writeUInt32BE(n, n * 4);
export const IMAGE = bytes.toString("base64");

// What one stream takes that is left: far longer than leaving may take to be noticed.
export const LONG = 4000;
const NOTICED_WITHIN = 5;

/** The error that a promise ends with: of this very kind, or any for Error. */
export async function raised(kind, promise) {
  try {
    await promise;
  } catch (error) {
    const fits = kind === Error || error.constructor === kind;
    hold(`${error.constructor.name} instead of ${kind.name}: ${error.message}`, fits);
    return error;
  }
  throw new Error(`no ${kind.name}`);
}

/** All items of a stream. */
export async function all(stream) {
  const items = [];
  for await (const item of await stream) items.push(item);
  return items;
}

/** Status and text of an answer that has not come through the proxy. */
async function askEmulator(method, path, body, headers = {}) {
  const answer = await fetch(`${EMULATOR}${path}`, { method, body, headers });
  return { status: answer.status, text: await answer.text() };
}

const read = async (path) => JSON.parse((await askEmulator("GET", path)).text);
export const stats = () => read("/emulator/stats");
export const requests = () => read("/emulator/requests");

/** What an action gives back, and the requests that reached the emulator meanwhile. */
export async function during(action) {
  const seen = new Set((await requests()).map((request) => request.sequence));
  const result = await action();
  const made = (await requests()).filter((request) => !seen.has(request.sequence));
  return [result, made];
}

export async function until(what, condition, seconds = NOTICED_WITHIN) {
  const deadline = performance.now() + seconds * 1000;
  while (!(await condition())) {
    hold(`not within ${seconds} s: ${what}`, performance.now() < deadline);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** That the action, which leaves a stream, ends the request upstream as well. */
export async function left(action) {
  const idle = async () => (await stats()).in_flight === 0;
  await until("nothing in flight before", idle);
  const before = await stats();
  await action();
  await until("one more cancelled", async () => (await stats()).cancelled === before.cancelled + 1);
  await until("nothing in flight", idle);
  const after = await stats();
  equal("cancelled requests", after.cancelled - before.cancelled, 1);
  equal("completed requests", after.completed - before.completed, 0);
}

/** That the action succeeds though its first request fails, with one more; the second comes after the pause, seconds. */
export async function retried(fault, action, pause = 0) {
  const set = await askEmulator("POST", "/emulator/fault", fault);
  equal(`status of setting ${fault} (${set.text})`, set.status, 200);
  try {
    const [, made] = await during(action);
    equal("requests that reached upstream", made.length, 2);
    const gap = (made[1].received_unix_ns - made[0].received_unix_ns) / 1e9;
    hold(`the second attempt came after ${gap} s, expected at least ${pause} s`, gap >= pause);
    return made;
  } finally {
    await askEmulator("DELETE", "/emulator/fault");
  }
}

export const faultField = (fault) => ({ "x-emulator-fault": fault });

const DIRECT = { authorization: `Bearer ${UPSTREAM_KEY}`, "content-type": "application/json" };

/** What the emulator itself answers when it fails so. */
export async function ownError(path, fault) {
  const { status, text } = await askEmulator("POST", path, "{}", { ...DIRECT, ...faultField(fault) });
  return { status, body: JSON.parse(text) };
}

/** How many bytes the emulator's stream has at the end of so many events. */
export async function eventsEnd(path, request, events) {
  const { status, text } = await askEmulator("POST", path, JSON.stringify(request), DIRECT);
  equal("status of a stream straight from the emulator", status, 200);
  return Buffer.byteLength(text.split("\n\n").slice(0, events).join("\n\n")) + 2;
}

/** A `fetch` that notes the body of the last request, for a client's options. */
export function noting() {
  const noted = { fetch, body: undefined };
  noted.fetch = (url, init) => {
    noted.body = Buffer.from(init.body);
    return fetch(url, init);
  };
  return noted;
}

/** That the one request has reached upstream byte for byte; the proxy may have added spaces before the last brace. */
export function whole(made, sent, added = 0) {
  equal("requests that reached upstream", made.length, 1);
  const expected = Buffer.concat([sent.subarray(0, -1), Buffer.alloc(added, " "), sent.subarray(-1)]);
  hold(`the request has only ${sent.length} bytes`, sent.length > 400_000);
  equal("body_length", made[0].body_length, expected.length);
  equal("body_hash", made[0].body_hash, fnv(expected));
}

/** 64-bit FNV-1a, as the emulator writes it. */
function fnv(data) {
  let value = 0xcbf29ce484222325n;
  for (const byte of data) value = BigInt.asUintN(64, (value ^ BigInt(byte)) * 0x100000001b3n);
  return value.toString(16).padStart(16, "0");
}
