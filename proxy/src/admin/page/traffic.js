// What passes: the figures on top, where time goes, tokens and cost, limits, clients.

/** The mean of the last so many intervals, as far as they are known. */
function recent(column, intervals) {
  const known = column.slice(-intervals).filter((value) => value !== null);
  return known.length ? sum(known, (value) => value) / known.length : null;
}

function tile(name, value, unit, under) {
  return h("div", {}, h("dt", {}, name), h("dd", { class: "value" }, value, unit && h("span", { class: "unit" }, ` ${unit}`)), h("dd", { class: "soft small" }, under));
}

function tiles(status) {
  const { history, latency: { last_minute: minute }, usage, cost } = status;
  const upstreams = [status.upstream, ...status.upstreams];
  const usable = upstreams.filter((one) => !one.unusable && one.breaker === "closed").length;
  const [client, server, all] = ["client_errors", "server_errors", "requests"].map((name) => recent(history[`${name}_per_second`], 30) ?? 0);
  const share = (part) => `${digits((100 * part) / all)}\u00a0%`;
  const tokens = (name) => sum(usage.by_source, (source) => source[name]);
  const quantiles = (times) => [...span(times.p50_ms), times.count ? `p50 of the last minute; p99 ${time(times.p99_ms)}` : "none in the last minute"];
  show("tiles",
    tile("Requests", rate(status.requests.per_second), "a second", [field("requests.total", status.requests.total), " since the start"]),
    tile("In flight", field("in_flight", status.in_flight), status.in_flight === 1 ? "request" : "requests",
      [field("connections", status.connections), " client connections"]),
    tile("Errors", all > 0 ? share(client + server) : NONE, "",
      all > 0 ? `in the last minute; 4xx ${share(client)}, 5xx ${share(server)}` : "no requests in the last minute"),
    tile("First byte from upstream", ...quantiles(minute.first_byte)),
    tile("In the proxy", ...quantiles(minute.proxy)),
    tile("Tokens in answers", rate(recent(history.output_tokens_per_second, 5) ?? 0), "a second",
      [field("usage.input_tokens", tokens("input_tokens")), " in, ", field("usage.output_tokens", tokens("output_tokens")), " out since the start"]),
    tile("Cost since the start", field("cost.usd", cost.usd, usd), "", cost.estimated_usd > 0
      ? ["and an estimated ", field("cost.estimated_usd", cost.estimated_usd, usd)]
      : `${usd(recent(history.usd_per_hour, 30) ?? 0)} an hour at the last minute's rate`),
    tile("Upstreams in use", `${usable} of ${upstreams.length}`, "",
      [field("idle", sum(upstreams, (one) => one.idle)), " connections idle, ", field("active", sum(upstreams, (one) => one.active)), " busy"]));
}

const SOURCES = {
  ebpf: "The network is measured by kernel programs (eBPF).",
  tcp_info: "The network is measured by samples of TCP_INFO, as kernel programs do not run.",
  none: "Nobody measures the network yet, so it is part of what upstream takes.",
};

function latency({ latency: { source, last_minute, since_start } }) {
  const has = last_minute.proxy.count > 0 || last_minute.first_byte.count > 0;
  const part = has ? last_minute : since_start;
  if (part.proxy.count === 0) return show("latency", empty(`No request has gone to upstream yet. ${SOURCES[source]}`));
  const mean = (value) => ({ mean_ms: value });
  const rows = [
    ["Network", mean(part.network_mean_ms), "network"],
    ["Upstream, thinking", mean(part.upstream_mean_ms), "upstream"],
    ["Both: time to the first byte", part.first_byte, "first_byte"],
    ["Proxy, its own work", part.proxy, "proxy"],
    ["Proxy, waiting to run", part.wakeup_lag, "wakeup_lag"],
    ["Round trip of handshakes", part.connect, "connect"],
    ["Round trip, put-off acknowledgements included", part.rtt, "rtt"],
  ].filter(([, times]) => times.count !== 0);
  const column = (label, name) => ({ label, number: true, cell: ([, times, part]) => (times[name] === undefined ? NONE : field(`latency.${part}.${name}`, times[name], time)) });
  show("latency",
    h("p", { class: "soft small" }, `${has ? "Over the last minute." : "Since the start; there was nothing in the last minute."} ${SOURCES[source]}`),
    table("latency", "Times by part", [
      { label: "Part", cell: ([label]) => label },
      column("Mean", "mean_ms"), column("p50", "p50_ms"), column("p95", "p95_ms"), column("p99", "p99_ms"),
      { label: "Measured", number: true, cell: ([, times]) => count(times.count) },
    ], rows));
}

const GROUPS = { "client and model": ["client", "model"], client: ["client"], model: ["model"] };
let grouped = "client and model";

/** Adds lines up that have the same names. */
function grouping(lines, names) {
  const groups = new Map();
  for (const line of lines) {
    const key = JSON.stringify(names.map((name) => line[name]));
    const group = groups.get(key) ?? Object.fromEntries(names.map((name) => [name, line[name]]));
    for (const [name, value] of Object.entries(line)) if (typeof value === "number") group[name] = (group[name] ?? 0) + value;
    groups.set(key, group);
  }
  return [...groups.values()];
}

function costs({ cost, usage }) {
  const unpriced = cost.unpriced.map((line) => ({ client: line.client, model: line.model, unpriced: line.input_tokens + line.output_tokens }));
  const names = GROUPS[grouped];
  const lines = grouping([...cost.by_client, ...unpriced], names);
  const left = usage.clients_left.filter((one) => one.count > 0).map((one) => `${whole.format(one.count)} ${words(one.upstream)}`);
  const sources = usage.by_source.filter((one) => one.requests > 0).map((one) => `${whole.format(one.requests)} ${one.source}`);
  const about = [sources.length && `Usage of requests: ${sources.join(", ")}.`, left.length && `Clients that left early: ${left.join(", ")}.`];
  const note = h("p", { class: "soft small" }, about.filter(Boolean).join(" "));
  if (lines.length === 0) return show("cost", note, empty("No tokens have been counted yet."));
  lines.sort((one, other) => (other.usd ?? 0) - (one.usd ?? 0) || (other.unpriced ?? 0) - (one.unpriced ?? 0));
  const choice = h("p", { class: "more" }, h("label", { for: "grouped" }, "By "),
    h("select", { id: "grouped" }, Object.keys(GROUPS).map((name) => h("option", { selected: name === grouped }, name))));
  const number = (label, name, format) => ({
    label, number: true, cell: (line) => (line[name] ? field(`cost.${line.client}.${line.model}.${name}`, line[name], format) : NONE),
  });
  show("cost", note, choice, table("cost", `Tokens and cost by ${grouped}`, [
    ...names.map((name) => ({ label: name === "client" ? "Client" : "Model", cell: (line) => line[name] })),
    number("Requests", "requests"), number("Tokens in", "input_tokens"), number("of these cached", "cached_tokens"),
    number("Tokens out", "output_tokens"), number("Without a price", "unpriced"), number("Cost", "usd", usd), number("Estimated besides", "estimated_usd", usd),
  ], lines));
}

function limits({ limits: all, budgets }) {
  if (all.length === 0) return show("limits", empty("No client has a limit."));
  const worst = (one) => Math.max(0, ...[one.requests, one.tokens].filter(Boolean).map((state) => 1 - state.remaining / state.burst),
    ...[one.budgets?.day, one.budgets?.month].filter(Boolean).map((budget) => budget.spent_usd / budget.limit_usd));
  const refused = (one) => sum(one.refused, (of) => of.count);
  const rows = all.toSorted((one, other) => refused(other) - refused(one) || worst(other) - worst(one));
  const used = (state) => (state ? h("div", {}, `${count(state.remaining)} of ${count(state.burst)} left`,
    h("span", { class: "soft small" }, `; ${count(state.limit)} a minute`), bar(1 - state.remaining / state.burst)) : NONE);
  const spent = (budget) => (budget ? h("div", {}, `${usd(budget.spent_usd)} of ${usd(budget.limit_usd)}`, bar(budget.spent_usd / budget.limit_usd)) : NONE);
  const hits = (one) => (refused(one) ? one.refused.filter((of) => of.count > 0)
    .map((of, i) => [i > 0 && ", ", `${words(of.limit)} `, field(`refused.${one.client}.${of.limit}`, of.count)]) : NONE);
  const has = (column) => rows.some((one) => column.cell(one) !== NONE);
  const columns = [
    { label: "Requests", cell: (one) => used(one.requests) },
    { label: "Tokens", cell: (one) => used(one.tokens) },
    { label: "At a time", cell: (one) => (one.concurrent ? h("div", {}, `${count(one.in_flight)} of ${count(one.concurrent)}`, bar(one.in_flight / one.concurrent)) : NONE) },
    { label: "This day", cell: (one) => spent(one.budgets?.day) },
    { label: "This month", cell: (one) => spent(one.budgets?.month) },
    { label: "Refused", cell: hits },
  ].filter(has);
  const kept = { redis: "in Redis, for all replicas", file: "in a file", process: "by this process only, for as long as it lasts" }[budgets.store];
  show("limits",
    h("p", { class: "soft small" }, `What clients cost is kept ${kept}. `, !budgets.works && state("bad", "That does not work at present, see the log.")),
    table("limits", "What clients have left", [{ label: "Client", cell: (one) => one.client }, ...columns], rows));
}

function clients({ clients: book }) {
  $("s-clients").hidden = !book;
  if (!book) return;
  const standing = { active: "good", expired: "bad", disabled: "warn" };
  show("clients",
    h("p", { class: "soft small" }, "From ", h("code", {}, book.file), `, read ${book.read}. `, book.error && state("bad", `As it is now: ${book.error}`)),
    book.clients.length === 0 ? empty("There are none, so nobody is let in.") : table("clients", "Clients", [
      { label: "Client", cell: (one) => one.name },
      { label: "State", cell: (one) => [state(standing[one.state], one.state), one.expires && ` until ${one.expires}`] },
      { label: "Requests", number: true, cell: (one) => field(`client.${one.name}`, one.requests) },
      { label: "Keys", cell: (one) => one.keys.map((key, i) => [i > 0 && ", ", h("code", {}, key.id), ` ${count(key.requests)}`]) },
      { label: "Models", cell: (one) => one.models?.join(", ") ?? "all" },
      { label: "Paths", cell: (one) => one.routes?.join(", ") ?? "all" },
    ], book.clients));
}
