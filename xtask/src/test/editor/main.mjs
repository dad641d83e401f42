// An editor's view of the configuration file: yaml-language-server, which VS Code, Neovim, Helix and others ask about YAML,
// with the schema that the program prints.
//
// `cargo xtask test --only editor` runs this. A line `ok NAME` or `FAIL NAME: REASON` per check.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { check, run } from "../checks.mjs";

const { PACKAGES, DIRECTORY } = process.env;
const load = createRequire(`${PACKAGES}/`);
const { createMessageConnection } = load("vscode-jsonrpc/node");

/** Far longer than an answer takes. */
const LIMIT_MS = 20_000;
const FIRST = "# yaml-language-server: $schema=holysheep-proxy.schema.json\n";
/** A fault at the end of each file: once it is found, so is whatever else there is. */
const LAST = "last_of_all: 1\n";

// === The server ===

const program = load.resolve("yaml-language-server/bin/yaml-language-server");
const server = spawn(process.execPath, [program, "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
const connection = createMessageConnection(server.stdout, server.stdin);
// Nothing is asked of any catalogue of schemas in the network.
const settings = { validate: true, hover: true, completion: true, schemaStore: { enable: false } };
connection.onRequest("workspace/configuration", ({ items }) =>
  items.map(({ section }) => (section === "yaml" ? settings : null)),
);
connection.onRequest("client/registerCapability", () => null);

const waiting = new Map();
connection.onNotification("textDocument/publishDiagnostics", ({ uri, diagnostics }) => {
  if (diagnostics.length > 0) waiting.get(uri)?.(diagnostics);
});
connection.listen();

const within = (promise, what) => {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${LIMIT_MS} ms`)), LIMIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};
const ask = (method, parameters) => within(connection.sendRequest(method, parameters), method);

let opened = 0;
/** Opens a file with this text beside the schema. Gives its name, and what is found in it. */
async function open(text) {
  const uri = pathToFileURL(`${DIRECTORY}/file-${++opened}.yaml`).href;
  const found = new Promise((resolve) => waiting.set(uri, resolve));
  const textDocument = { uri, languageId: "yaml", version: 1, text };
  await connection.sendNotification("textDocument/didOpen", { textDocument });
  return { uri, found };
}

/** What is wrong with a file, by its lines, counted from 1. */
async function faults(text) {
  const { found } = await open(`${text.trimEnd()}\n${LAST}`);
  const all = (await within(found, "diagnostics")).map(({ range, message }) => [range.start.line + 1, message]);
  const lines = text.trimEnd().split("\n").length;
  assert.ok(all.some(([line]) => line === lines + 1), JSON.stringify(all));
  return all.filter(([line]) => line <= lines);
}

/** The place of `|` in a text, and the text without it. */
function cursor(marked) {
  const before = marked.slice(0, marked.indexOf("|")).split("\n");
  const position = { line: before.length - 1, character: before.at(-1).length };
  return { text: marked.replace("|", ""), position };
}

async function proposed(marked) {
  const { text, position } = cursor(FIRST + marked);
  const { uri } = await open(text);
  const { items } = await ask("textDocument/completion", { textDocument: { uri }, position });
  return items.map(({ label }) => label);
}

async function explained(marked) {
  const { text, position } = cursor(FIRST + marked);
  const { uri } = await open(text);
  const hover = await ask("textDocument/hover", { textDocument: { uri }, position });
  return JSON.stringify(hover?.contents ?? null);
}

// === Checks ===

const example = readFileSync(`${DIRECTORY}/holysheep-proxy.yaml`, "utf8");
/** All settings of the example in force: a `#` that stands before no explanation goes. */
const inForce = example.replace(/^( *)#(?! \S|$)/gm, "$1");

check("the example has no fault", async () => assert.deepEqual(await faults(example), []));
check("nor has it with all of its settings in force", async () => {
  assert.match(inForce, /^listen: 127/m);
  assert.match(inForce, /^ {4}url: redis:/m);
  assert.deepEqual(await faults(inForce), []);
});

for (const [yaml, line, said] of [
  ["timeouts:\n  conect: 1s\n", 3, /conect is not allowed/],
  ["timeouts:\n  connect: soon\n", 3, /Expected a duration such as 10s, 500ms or 5m/],
  ["timeouts:\n  idle: 0s\n", 3, /0s would end everything at once/],
  ["workers: many\n", 2, /integer/],
  ["workers: 0\n", 2, /below the minimum of 1/],
  ["auth: opne\n", 2, /"open", "passthrough", "clients"/],
  ["listen: localhost:80\n", 2, /Expected an address and a port/],
  ["upstream:\n  api_key: x\n", 3, /api_key is not allowed/],
  ["tls: {listen: '127.0.0.1:1'}\n", 2, /certificate/],
  ["limits: {body: many}\n", 2, /Expected a size such as 10MB/],
  ["prices:\n  m: {input: 1}\n", 3, /output/],
  ["routes:\n  /v1/chats: {idle: 1s}\n", 3, /Valid values: "\/v1\/chat\/completions"/],
  ["routes:\n  /v1/responses: {hedge_after: 1s}\n", 3, /Asking twice would be paid for twice/],
]) {
  check(`a fault is marked: ${yaml.trim().replaceAll("\n", " ")}`, async () => {
    const found = await faults(FIRST + yaml);
    assert.ok(found.length > 0, "nothing is found");
    assert.ok(found.every((fault) => fault[0] === line), JSON.stringify(found));
    assert.match(found.map(([, message]) => message).join("\n"), said);
  });
}

for (const [marked, expected] of [
  ["|", ["listen", "upstream", "timeouts", "prices"]],
  ["timeouts:\n  |", ["connect", "drain_delay"]],
  ["upstreams:\n  - name: a\n    |", ["base_url", "dialect"]],
  ["ebpf: |", ["auto", "required", "off"]],
  ["routes:\n  |", ["/v1/embeddings", "/v1/files/*"]],
  ["routes:\n  /v1/embeddings:\n    |", ["hedge_after"]],
]) {
  check(`what there is is proposed at ${JSON.stringify(marked)}`, async () => {
    const labels = await proposed(marked);
    assert.deepEqual(expected.filter((label) => !labels.includes(label)), [], labels.join(" "));
  });
}

for (const [marked, said] of [
  ["timeouts:\n  conn|ect: 1s", /For name, TCP and TLS towards upstream/],
  ["auth|: open", /Clients with a key of their own/],
  ["webhook:\n  forward|_to: http://a", /Where deliveries go/],
]) {
  check(`a setting is explained at ${JSON.stringify(marked)}`, async () => {
    assert.match(await explained(marked), said);
  });
}

await ask("initialize", {
  processId: process.pid,
  rootUri: pathToFileURL(DIRECTORY).href,
  capabilities: { workspace: { configuration: true }, textDocument: { hover: { contentFormat: ["markdown"] } } },
});
await connection.sendNotification("initialized", {});
await run(() => server.kill());
