// Anthropic's client for Node: what it gets when all goes well, when it leaves, when something fails, and when it tries
// again.

import {
  all, ANSWER, ARGUMENTS, CALL_TOKENS, check, CLIENT_KEY, during, equal, eventsEnd, faultField, hold, IMAGE, left, load,
  LONG, noting, ownError, PROXY, QUESTION, QUESTION_TOKENS, raised, RESULT, retried, SCHEMA, TOKENS, TOOL, whole,
} from "./common.mjs";

const { Anthropic, APIError, APIUserAbortError, InternalServerError, RateLimitError } = load("@anthropic-ai/sdk");

// No retries: a request that needs a second attempt is a finding.
const OPTIONS = { baseURL: PROXY, apiKey: CLIENT_KEY, maxRetries: 0, timeout: 20_000, logLevel: "off" };
const claude = new Anthropic(OPTIONS);
const patient = new Anthropic({ ...OPTIONS, maxRetries: 2 });

const PATH = "/v1/messages";
const MESSAGE = { model: "claude-sonnet-5-5", max_tokens: TOKENS, messages: QUESTION };
const STREAM = { ...MESSAGE, stream: true };
const TOOLS = [{ name: TOOL, description: "Today's weather", input_schema: SCHEMA }];

check("anthropic-node: plain", async () => {
  const answer = await claude.messages.create(MESSAGE);
  equal("text", answer.content[0].text, ANSWER);
  equal("input tokens", answer.usage.input_tokens, QUESTION_TOKENS);
  equal("output tokens", answer.usage.output_tokens, TOKENS);
});

check("anthropic-node: streamed", async () => {
  const stream = claude.messages.stream(MESSAGE);
  const pieces = [];
  stream.on("text", (piece) => pieces.push(piece));
  const last = await stream.finalMessage();
  equal("number of pieces", pieces.length, TOKENS);
  equal("text", pieces.join(""), ANSWER);
  equal("stop reason", last.stop_reason, "max_tokens");
  equal("input tokens", last.usage.input_tokens, QUESTION_TOKENS);
  equal("output tokens", last.usage.output_tokens, TOKENS);
});

check("anthropic-node: tokens counted", async () => {
  const answer = await claude.messages.countTokens({ model: "claude-sonnet-5-5", messages: QUESTION });
  equal("input tokens", answer.input_tokens, QUESTION_TOKENS);
});

/** The request once the tool has been called, after the checks of the call. */
function withResult(answer) {
  equal("stop reason", answer.stop_reason, "tool_use");
  equal("calls", answer.content.map((block) => [block.type, block.name, block.input]), [["tool_use", TOOL, ARGUMENTS]]);
  equal("output tokens", answer.usage.output_tokens, CALL_TOKENS);
  const result = { type: "tool_result", tool_use_id: answer.content[0].id, content: RESULT };
  const said = { role: "assistant", content: answer.content };
  return { ...MESSAGE, tools: TOOLS, messages: [...QUESTION, said, { role: "user", content: [result] }] };
}

check("anthropic-node: with tools, plain", async () => {
  const answer = await claude.messages.create({ ...MESSAGE, tools: TOOLS });
  const final = await claude.messages.create(withResult(answer));
  equal("final answer", final.content[0].text, ANSWER);
});

check("anthropic-node: with tools, streamed", async () => {
  const stream = claude.messages.stream({ ...MESSAGE, tools: TOOLS });
  const pieces = [];
  stream.on("inputJson", (piece) => pieces.push(piece));
  const answer = await stream.finalMessage();
  equal("pieces of arguments", pieces.length, CALL_TOKENS);
  equal("final answer", await claude.messages.stream(withResult(answer)).finalText(), ANSWER);
});

check("anthropic-node: with an image", async () => {
  const noted = noting();
  const client = new Anthropic({ ...OPTIONS, fetch: noted.fetch });
  const source = { type: "base64", media_type: "image/png", data: IMAGE };
  const content = [{ type: "image", source }, { type: "text", text: "What is this?" }];
  const request = { ...MESSAGE, messages: [{ role: "user", content }] };
  const [answer, made] = await during(() => client.messages.create(request));
  equal("text", answer.content[0].text, ANSWER);
  whole(made, noted.body);
});

check("anthropic-node: cancelled half-way", () => left(async () => {
  const stream = await claude.messages.create({ ...STREAM, max_tokens: LONG });
  let events = 0;
  for await (const _ of stream) if (++events === 8) break;
  equal("events before leaving", events, 8);
}));

check("anthropic-node: cancelled half-way by the client's helper", () => left(async () => {
  const stream = claude.messages.stream({ ...MESSAGE, max_tokens: LONG });
  const end = raised(APIUserAbortError, stream.done());
  await new Promise((resolve) => stream.once("text", resolve));
  stream.abort();
  await end;
}));

check("anthropic-node: error before the first chunk", async () => {
  const own = await ownError(PATH, "500");
  for (const ask of [MESSAGE, STREAM]) {
    const error = await raised(InternalServerError, claude.messages.create(ask, { headers: faultField("500") }));
    equal("status", [error.status, own.status], [500, 500]);
    equal("body", error.error, own.body);
    hold("the error has no request id", error.headers.get("x-request-id"));
  }
});

/** The error that the client raises of a stream that upstream breaks off in its seventh event, or before it. */
async function brokenOff(kind, cut) {
  const events = [];
  const error = await raised(kind, (async () => {
    for await (const event of await claude.messages.create(STREAM, { headers: faultField(`cut;after=${cut}`) })) {
      events.push(event.type);
    }
  })());
  // The ping before the first token is the client's own affair.
  equal("events", events, ["message_start", "content_block_start", ...Array(3).fill("content_block_delta")]);
  return error;
}

check("anthropic-node: error after the first chunk", async () => {
  const error = await brokenOff(APIError, await eventsEnd(PATH, STREAM, 6));
  equal("type", error.error.error.type, "api_error");
  hold(`its message is ${error.message}`, error.error.error.message.includes("upstream"));
});

check("anthropic-node: error in the middle of a chunk", async () => {
  // The client complains of what has come of the chunk, which is no JSON. It must not take the stream for complete.
  await brokenOff(Error, (await eventsEnd(PATH, STREAM, 6)) + 60);
});

check("anthropic-node: tries again after 429, when retry-after says", async () => {
  const made = await retried("429;retry-after=2;next=1", () => patient.messages.create(MESSAGE), 1.99);
  const counts = made.map((request) => Object.fromEntries(request.headers)["x-stainless-retry-count"]);
  equal("x-stainless-retry-count", counts, ["0", "1"]);
});

check("anthropic-node: tries again after 503", async () => {
  await retried("503;next=1", () => patient.messages.create(MESSAGE));
  await retried("503;next=1", () => all(patient.messages.create(STREAM)));
});

check("anthropic-node: a rate limit without retries has its retry-after", async () => {
  const fault = "429;retry-after=7";
  const own = await ownError(PATH, fault);
  const failing = () => raised(RateLimitError, claude.messages.create(MESSAGE, { headers: faultField(fault) }));
  const [error, made] = await during(failing);
  equal("status", [error.status, own.status], [429, 429]);
  equal("retry-after", error.headers.get("retry-after"), "7");
  equal("body", error.error, own.body);
  equal("requests that reached upstream", made.length, 1);
});
