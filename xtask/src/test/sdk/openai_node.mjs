// OpenAI's client for Node: what it gets when all goes well, when it leaves, when something fails, and when it tries again.

import {
  all, ANSWER, ARGUMENTS, CALL_TOKENS, check, CLIENT_KEY, during, equal, eventsEnd, faultField, hold, IMAGE, left, load,
  LONG, noting, ownError, PROXY, QUESTION, QUESTION_TOKENS, raised, RESULT, retried, SCHEMA, TOKENS, TOOL, whole,
} from "./common.mjs";

const { OpenAI, APIError, InternalServerError, RateLimitError } = load("openai");

// No retries: a request that needs a second attempt is a finding.
const OPTIONS = { baseURL: `${PROXY}/v1`, apiKey: CLIENT_KEY, maxRetries: 0, timeout: 20_000, logLevel: "off" };
const gpt = new OpenAI(OPTIONS);
const patient = new OpenAI({ ...OPTIONS, maxRetries: 2 });

const PATH = "/v1/chat/completions";
const CHAT = { model: "gpt-4.1", messages: QUESTION };
const STREAM = { ...CHAT, stream: true };
const USAGE = { stream_options: { include_usage: true } };
const TOOLS = [{ type: "function", function: { name: TOOL, parameters: SCHEMA } }];
const RESPONSE = { model: "gpt-4.1", input: "Say hello, please." };
const RESPONSE_TOOLS = [{ type: "function", name: TOOL, parameters: SCHEMA, strict: false }];

const text = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
const finish = (chunks) => chunks.map((chunk) => chunk.choices[0]?.finish_reason);

check("openai-node: plain", async () => {
  const answer = await gpt.chat.completions.create(CHAT);
  equal("content", answer.choices[0].message.content, ANSWER);
  equal("finish reason", answer.choices[0].finish_reason, "stop");
  equal("prompt tokens", answer.usage.prompt_tokens, QUESTION_TOKENS);
  equal("completion tokens", answer.usage.completion_tokens, TOKENS);
  hold("the answer has no x-request-id", answer._request_id);
});

check("openai-node: streamed, with usage as asked for", async () => {
  const chunks = await all(gpt.chat.completions.create({ ...STREAM, ...USAGE }));
  // The role, the tokens, the finish reason, the usage.
  equal("number of chunks", chunks.length, TOKENS + 3);
  equal("content", text(chunks), ANSWER);
  equal("finish reason", finish(chunks).at(-2), "stop");
  equal("completion tokens", chunks.at(-1).usage.completion_tokens, TOKENS);
  equal("prompt tokens", chunks.at(-1).usage.prompt_tokens, QUESTION_TOKENS);
});

check("openai-node: streamed, without usage unless asked for", async () => {
  const [chunks, made] = await during(() => all(gpt.chat.completions.create(STREAM)));
  equal("what upstream was asked", JSON.parse(made[0].body).stream_options, { include_usage: true });
  equal("number of chunks", chunks.length, TOKENS + 2);
  equal("content", text(chunks), ANSWER);
  equal("chunks with usage", chunks.filter((chunk) => chunk.usage), []);
  equal("chunks without a choice", chunks.filter((chunk) => chunk.choices.length === 0), []);
});

/** The conversation once the tool has been called. */
function withResult(id, args) {
  const call = { id, type: "function", function: { name: TOOL, arguments: args } };
  const said = { role: "assistant", content: null, tool_calls: [call] };
  const result = { role: "tool", tool_call_id: id, content: RESULT };
  return { model: "gpt-4.1", tools: TOOLS, messages: [...QUESTION, said, result] };
}

check("openai-node: with tools, plain", async () => {
  const answer = await gpt.chat.completions.create({ ...CHAT, tools: TOOLS });
  equal("finish reason", answer.choices[0].finish_reason, "tool_calls");
  const calls = answer.choices[0].message.tool_calls;
  equal("names", calls.map((call) => call.function.name), [TOOL]);
  equal("arguments", JSON.parse(calls[0].function.arguments), ARGUMENTS);
  equal("completion tokens", answer.usage.completion_tokens, CALL_TOKENS);
  const final = await gpt.chat.completions.create(withResult(calls[0].id, calls[0].function.arguments));
  equal("final answer", final.choices[0].message.content, ANSWER);
  equal("finish reason", final.choices[0].finish_reason, "stop");
});

check("openai-node: with tools, streamed", async () => {
  const chunks = await all(gpt.chat.completions.create({ ...STREAM, tools: TOOLS }));
  equal("finish reason", finish(chunks).at(-1), "tool_calls");
  const calls = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
  equal("names", calls.flatMap((call) => call.function.name ?? []), [TOOL]);
  equal("pieces of arguments", calls.filter((call) => call.function.arguments).length, CALL_TOKENS);
  const args = calls.map((call) => call.function.arguments).join("");
  equal("arguments", JSON.parse(args), ARGUMENTS);
  const final = await all(gpt.chat.completions.create({ ...withResult(calls[0].id, args), stream: true }));
  equal("final answer", text(final), ANSWER);
  equal("finish reason", finish(final).at(-1), "stop");
});

check("openai-node: with tools, called by the client", async () => {
  const places = [];
  const call = ({ place }) => {
    places.push(place);
    return RESULT;
  };
  const weather = { name: TOOL, parameters: SCHEMA, parse: JSON.parse, function: call };
  const runner = gpt.chat.completions.runTools({ ...STREAM, tools: [{ type: "function", function: weather }] });
  equal("final answer", await runner.finalContent(), ANSWER);
  equal("calls", places, [ARGUMENTS.place]);
});

check("openai-node: with an image", async () => {
  const noted = noting();
  const client = new OpenAI({ ...OPTIONS, fetch: noted.fetch });
  const url = `data:image/png;base64,${IMAGE}`;
  const content = [{ type: "text", text: "What is this?" }, { type: "image_url", image_url: { url } }];
  const request = { model: "gpt-4.1", messages: [{ role: "user", content }] };
  const [answer, made] = await during(() => client.chat.completions.create(request));
  equal("content", answer.choices[0].message.content, ANSWER);
  // Where a stream could have been asked for the proxy leaves room (docs/usage.md).
  whole(made, noted.body, 40);
});

check("openai-node: response, streamed", async () => {
  const events = await all(gpt.responses.create({ ...RESPONSE, stream: true }));
  const deltas = events.filter((event) => event.type === "response.output_text.delta");
  equal("text", deltas.map((event) => event.delta).join(""), ANSWER);
  equal("last event", events.at(-1).type, "response.completed");
  equal("output tokens", events.at(-1).response.usage.output_tokens, TOKENS);
});

check("openai-node: response with tools, streamed", async () => {
  const events = await all(gpt.responses.create({ ...RESPONSE, tools: RESPONSE_TOOLS, stream: true }));
  const deltas = events.filter((event) => event.type === "response.function_call_arguments.delta");
  equal("pieces of arguments", deltas.length, CALL_TOKENS);
  equal("arguments", JSON.parse(deltas.map((event) => event.delta).join("")), ARGUMENTS);
  equal("last event", events.at(-1).type, "response.completed");
  const [call] = events.at(-1).response.output;
  const said = { type: "function_call", call_id: call.call_id, name: call.name, arguments: call.arguments };
  const result = { type: "function_call_output", call_id: call.call_id, output: RESULT };
  const input = [...QUESTION, said, result];
  const final = await gpt.responses.create({ model: "gpt-4.1", input, tools: RESPONSE_TOOLS });
  equal("final answer", final.output_text, ANSWER);
});

check("openai-node: cancelled half-way", () => left(async () => {
  const stream = await gpt.chat.completions.create({ ...STREAM, max_tokens: LONG });
  let chunks = 0;
  for await (const _ of stream) if (++chunks === 5) break;
  equal("chunks before leaving", chunks, 5);
}));

check("openai-node: cancelled half-way by a signal", () => left(async () => {
  const controller = new AbortController();
  const stream = await gpt.chat.completions.create({ ...STREAM, max_tokens: LONG }, { signal: controller.signal });
  let chunks = 0;
  for await (const _ of stream) if (++chunks === 5) controller.abort();
}));

check("openai-node: error before the first chunk", async () => {
  const own = await ownError(PATH, "500");
  for (const ask of [CHAT, STREAM]) {
    const answer = gpt.chat.completions.create(ask, { headers: faultField("500") });
    const error = await raised(InternalServerError, answer);
    equal("status", [error.status, own.status], [500, 500]);
    equal("body", error.error, own.body.error);
    hold("the error has no x-request-id", error.requestID);
  }
});

/** That the client gets five chunks of a stream that upstream breaks off then, and raises such an error. */
async function brokenOff(kind, ask, cut) {
  const chunks = [];
  const error = await raised(kind, (async () => {
    for await (const chunk of await gpt.chat.completions.create(ask, { headers: faultField(`cut;after=${cut}`) })) {
      chunks.push(chunk);
    }
  })());
  equal("finish reasons", finish(chunks), Array(5).fill(null));
  if (kind === APIError) equal("code and type", [error.code, error.type], ["upstream_closed", "server_error"]);
}

check("openai-node: error after the first chunk", async () => {
  const ask = { ...STREAM, ...USAGE };
  await brokenOff(APIError, ask, await eventsEnd(PATH, ask, 5));
});

check("openai-node: error in the middle of a chunk", async () => {
  const ask = { ...STREAM, ...USAGE };
  // The client complains of what has come of the chunk, which is no JSON. It must not take the stream for complete.
  const cut = (await eventsEnd(PATH, ask, 5)) + 20;
  await brokenOff(Error, ask, cut);
  // Unless the proxy still held it, for it might have been the usage that the client did not ask for.
  await brokenOff(APIError, STREAM, cut);
});

check("openai-node: tries again after 429, when retry-after says", async () => {
  const made = await retried("429;retry-after=2;next=1", () => patient.chat.completions.create(CHAT), 1.99);
  const counts = made.map((request) => Object.fromEntries(request.headers)["x-stainless-retry-count"]);
  equal("x-stainless-retry-count", counts, ["0", "1"]);
});

check("openai-node: tries again after 503", async () => {
  await retried("503;next=1", () => patient.chat.completions.create(CHAT));
  await retried("503;next=1", () => all(patient.chat.completions.create(STREAM)));
});

check("openai-node: a rate limit without retries has its retry-after", async () => {
  const fault = "429;retry-after=7";
  const own = await ownError(PATH, fault);
  const failing = () => raised(RateLimitError, gpt.chat.completions.create(CHAT, { headers: faultField(fault) }));
  const [error, made] = await during(failing);
  equal("status", [error.status, own.status], [429, 429]);
  equal("retry-after", error.headers.get("retry-after"), "7");
  equal("body", error.error, own.body.error);
  equal("requests that reached upstream", made.length, 1);
});
