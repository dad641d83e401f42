// Requests of two clients: plain and streamed, of several models, some of which fail; and more of one client than it may send.

import http from "node:http";
import { KEY_A, KEY_B, PROXY } from "./common.mjs";

const MODELS = ["gpt-4.1", "claude-sonnet-4.5", "deepseek-v3.2", "a-model-without-a-price"];
const FAULTS = [null, null, null, "503", null, "malformed;kind=status-line", null, "cut;after=1500"];

export async function chat(key, model, { stream = false, fault = null, id = undefined } = {}) {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  if (fault) headers["x-emulator-fault"] = fault;
  if (id) headers["x-request-id"] = id;
  const body = JSON.stringify({ model, stream, messages: [{ role: "user", content: "Say hello, please." }] });
  try {
    const answer = await fetch(`${PROXY}/v1/chat/completions`, { method: "POST", headers, body });
    await answer.text();
    return answer.status;
  } catch {
    // A stream that breaks off.
    return 0;
  }
}

/** Some of everything. */
export async function round(number) {
  await Promise.all(MODELS.map((model, i) => chat(KEY_A, model, { stream: i % 2 === 1, fault: FAULTS[(number + i) % FAULTS.length] })));
  await chat(KEY_B, MODELS[number % 2]);
  await (await fetch(`${PROXY}/v1/nowhere`)).text();
  await chat("nobody's", MODELS[0]);
}

/** More at once than one client may send. */
export const flood = () => Promise.all(Array.from({ length: 200 }, () => chat(KEY_B, MODELS[0])));

/** A probe from an address that probes are steered from. */
export const probe = () => new Promise((done) => {
  const request = http.get(`${PROXY}/livez`, { localAddress: "127.0.0.2", agent: false }, (answer) => answer.resume().on("end", done));
  request.on("error", done);
});

/** Sends rounds until it is stopped; `stop` waits for what is under way. */
export function running() {
  let stopped = false;
  const all = (async () => {
    for (let number = 0; !stopped; number += 1) await round(number);
  })();
  return {
    stop() {
      stopped = true;
      return all;
    },
  };
}
