// How things are: readiness, upstreams, errors, probes, and the process itself.

function ready(status) {
  show("ready", status.ready
    ? h("p", { class: "card note good" }, state("good", "Ready for traffic."))
    : h("div", { class: "card note bad" }, state("bad", "Not ready for traffic:"), h("ul", {}, status.not_ready.map((reason) => h("li", {}, reason)))));
  const listens = [status.listen, status.tls_listen && `${status.tls_listen} with TLS`].filter(Boolean).join(" and ");
  show("facts", `Version ${status.version}, up for ${long(status.uptime_seconds)}, ${status.workers} ${status.workers === 1 ? "worker" : "workers"}, listens on ${listens}`);
  document.title = status.ready ? "holysheep-proxy" : "not ready: holysheep-proxy";
}

const CIRCUITS = { closed: ["good", "in use"], half_open: ["warn", "on trial"], open: ["bad", "ejected"] };

function keyWords(key) {
  if (!key.present) return `${key.name} missing`;
  if (key.usable) return `${key.name} ${key.current ? "in use" : "in reserve"}`;
  return `${key.name} refused${key.current ? ", in use as no other can be" : `, left alone for ${long(Math.ceil(key.pause_seconds))}`}`;
}

function upstreamState(one) {
  if (one.unusable) return state("bad", `cannot be used: ${one.unusable}`);
  if (one.breaker === "open") return state("bad", `breaker open: no requests for ${long(Math.ceil(one.breaker_pause_seconds))}`);
  return one.breaker === "half_open" ? state("warn", "breaker half open: one request at a time") : state("good", "in use");
}

function upstream(one, index, auth) {
  const keys = one.keys.map(keyWords).join(", ") || (auth === "passthrough" ? "the clients' own" : "none");
  const retries = one.retries.map((of) => `${words(of.reason)} ${count(of.count)}`).join(", ");
  const number = (label, cell) => ({ label, number: true, cell });
  const line = [
    `Connections: ${count(one.idle)} idle, ${count(one.active)} busy, ${count(one.connects)} made, ${count(one.connect_failures)} failed.`,
    `Key: ${keys}.`, retries && `Sent again: ${retries}.`,
  ];
  return h("article", { "aria-labelledby": `upstream-${index}` },
    h("div", { class: "head" }, h("h3", { id: `upstream-${index}` }, one.name), upstreamState(one), h("span", { class: "soft" }, one.base_url)),
    one.endpoints.length === 0 ? empty(one.resolution_error ?? "It has no address.") : table(`endpoints-${index}`, `Endpoints of ${one.name}`, [
      { label: "Endpoint", cell: (end) => end.address },
      { label: "State", cell: (end) => (one.unusable && end.state === "closed" ? "not ejected" : state(...CIRCUITS[end.state])) },
      number("Round trip", (end) => time(end.kernel?.rtt_ms)),
      number("First byte", (end) => time(end.first_byte_ms)),
      ...["in_flight", "requests", "failures"].map((name) => number(capital(words(name)), (end) => field(`endpoint.${end.address}.${name}`, end[name]))),
      number("Ejected", (end) => (end.ejections ? `${count(end.ejections)} ×` : NONE)),
      number("Retransmits", (end) => count(end.kernel?.retransmits)),
    ], one.endpoints),
    h("p", { class: "soft small" }, line.filter(Boolean).join(" ")));
}

function upstreams(status) {
  show("upstreams", [status.upstream, ...status.upstreams].map((one, index) => upstream(one, index, status.auth)));
}

function errors({ time: now, last_errors: last, errors: counts }) {
  if (counts.length === 0) return show("errors", empty("The proxy has made no error since it started."));
  const all = counts.toSorted((one, other) => other.count - one.count);
  const total = h("p", { class: "soft small" }, "Since the start: ", all.map(({ code, count: many }, i) =>
    [i > 0 && ", ", h("code", {}, code), " ", field(`errors.${code}`, many)]), ".");
  const where = (one) => [one.route, one.client, one.model, one.upstream].filter(Boolean).join(", ");
  show("errors", total, last.length > 0 && table("errors", "The last error of each kind", [
    { label: "Error", cell: (one) => h("code", {}, one.code) },
    { label: "Last", short: true, cell: (one) => h("time", { datetime: one.time, title: one.time }, `${long((Date.parse(now) - Date.parse(one.time)) / 1000)} ago`) },
    { label: "Times", number: true, cell: (one) => count(one.count) },
    { label: "Message", wide: true, cell: (one) => [one.message, h("span", { class: "soft" }, ` (${one.status})`)] },
    { label: "Where", wide: true, cell: (one) => [where(one), " ", h("span", { class: "soft id" }, one.request_id)] },
    { label: "What to do", wide: true, cell: (one) => one.remedy },
  ], last));
}

function probes({ probes: all, kernel }) {
  const program = kernel.programs.find((one) => one.name === "probe_steering");
  const why = program?.reasons.join("; ") || "no sources are set (probes.sources)";
  const steering = all.steered ? [state("good", "on"), ` for ${all.sources.join(", ")}`] : [state("warn", "off"), why && `: ${why}`];
  show("probes", h("div", { class: "pair" },
    facts([
      ["Steering past the queues", steering],
      ["Connections steered", field("probes.steered_connections", all.steered_connections)],
      ["… handed to a worker", field("probes.handed_over", all.handed_over)],
      ["Port for probes", all.listen ?? "none"],
    ]),
    h("div", {}, all.answers.length === 0 ? empty("The probe thread has answered nothing yet.") : table("probes", "Answers to probes", [
      { label: "Probe", cell: (one) => one.path },
      { label: "Status", number: true, cell: (one) => one.status },
      { label: "Answers", number: true, cell: (one) => count(one.count) },
    ], all.answers))));
}

function file(config) {
  if (!config) return "none: flags and environment alone";
  return [h("code", {}, config.file), ` (${config.hash}`, config.read && `, read ${config.read}`, ") ",
    config.error && state("bad", `Its new text cannot be used: ${config.error}`),
    config.needs_restart.length > 0 && state("warn", `Needs a restart: ${config.needs_restart.join(", ")}`)];
}

function log(log) {
  const share = log.sample < 1 ? `; ${digits(log.sample * 100)} % of what went well within ${digits(log.slow_seconds)} s (${count(log.left_out)} left out)` : "; every request";
  return [`${log.access}, ${log.format}${share}`, log.dropped > 0 && state("warn", ` ${count(log.dropped)} lines dropped`)];
}

function process(status) {
  const { kernel, webhook, traces, take_over: over, upstream: { windows } } = status;
  const results = webhook?.results.filter((one) => one.count > 0).map((one) => `, ${words(one.result)} ${count(one.count)}`).join("");
  const programs = kernel.programs.map((one) => h("div", {}, h("code", {}, one.name), " ",
    one.attached ? state("good", "runs") : [state("warn", "off"), one.reasons.length > 0 && `: ${one.reasons.join("; ")}`]));
  show("process", h("div", { class: "pair" },
    facts([
      ["Who may use it", status.auth],
      ["Configuration file", file(status.config)],
      ["Access log", log(status.log)],
      ["Take-over", over ? `at ${over.socket}; ${over.took_over ? "another process was before this one" : "this process was the first"}` : "off"],
      ["Payment webhook", webhook ? `to ${webhook.forward_to}, ${webhook.scheme}${results}` : "off"],
      ["Traces", traces ? `to ${traces.endpoint}, share ${traces.sample}: ${count(traces.exported)} exported, ${count(traces.failed)} failed, ${count(traces.dropped)} dropped` : "off"],
    ]),
    facts([
      ["Kernel programs", programs],
      ["Cgroup", kernel.cgroup],
      ["Capabilities", kernel.capabilities],
      ["Windows after idling", windows && `${{ true: "kept", false: "not kept" }[windows.after_idle.kept] ?? "each by itself"}: ${windows.after_idle.because}`],
      ["Connections begin with", windows && (windows.initial_window_lost ? `the system's default: ${windows.initial_window_lost}` : windows.initial_window)],
    ])));
}
