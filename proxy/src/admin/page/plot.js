// Plots of the last five minutes. Each value holds for the interval it was taken over, so lines are steps; where nothing was
// measured there is none. Pointer and arrow keys choose a moment, in all plots at once.

const WIDTH = 300;
const HEIGHT = 100;
const MINUTES = 5;

const PLOTS = [
  {
    id: "requests", title: "Requests a second", format: rate,
    series: [
      { label: "answered", column: "requests_per_second", look: "one", light: true },
      { label: "4xx", column: "client_errors_per_second", look: "two dashed" },
      { label: "5xx", column: "server_errors_per_second", look: "bad-line" },
    ],
  },
  {
    id: "in-flight", title: "Requests in flight", format: count, least: 2,
    series: [{ label: "in flight", column: "in_flight", look: "one", light: true }],
  },
  {
    id: "split", title: "Mean time until a response begins", format: time, stacked: true,
    series: [
      { label: "network", column: "network_mean_ms", look: "three" },
      { label: "upstream", column: "upstream_mean_ms", look: "one" },
      { label: "proxy", column: "proxy_mean_ms", look: "two" },
    ],
  },
  {
    id: "first-byte", title: "Time to the first byte", format: time,
    series: [
      { label: "half within (p50)", column: "first_byte_p50_ms", look: "one" },
      { label: "99 of 100 within (p99)", column: "first_byte_p99_ms", look: "two dashed" },
    ],
  },
  {
    id: "tokens", title: "Tokens a second", format: rate, least: 10,
    series: [
      { label: "answers", column: "output_tokens_per_second", look: "one" },
      { label: "prompts", column: "input_tokens_per_second", look: "three dashed" },
    ],
  },
  {
    id: "cost", title: "Cost, as dollars an hour", format: usd, least: 0.02,
    series: [{ label: "at this rate", column: "usd_per_hour", look: "one", light: true }],
  },
];

/** The interval that is looked at, counted from the latest; -1 is none. */
let looked = -1;

/** The next number whose half is short, too. */
function ceiling(value, least) {
  if (!(value > least)) return least;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

/** The values of each series, from the bottom up if they are stacked, as [from, to]. */
function layers(plot, history) {
  const below = history.time_unix_ms.map(() => 0);
  return plot.series.map(({ column }) => history[column].map((value, i) => {
    if (value === null) return null;
    const from = plot.stacked ? below[i] : 0;
    if (plot.stacked) below[i] += value;
    return [from, from + value];
  }));
}

/** Steps along one edge of a layer, or around all of it. */
function path(layer, x, y, around) {
  let text = "";
  let run = [];
  const end = () => {
    if (run.length === 0) return;
    text += `M${x(run[0] - 1)} ${y(layer[run[0]][1])}`;
    for (const i of run) text += `V${y(layer[i][1])}H${x(i)}`;
    if (around) {
      for (const i of run.toReversed()) text += `V${y(layer[i][0])}H${x(i - 1)}`;
      text += "Z";
    }
    run = [];
  };
  layer.forEach((value, i) => (value ? run.push(i) : end()));
  end();
  return text;
}

function drawing(plot, history) {
  const times = history.time_unix_ms;
  const last = times.length - 1;
  const all = layers(plot, history);
  const top = ceiling(Math.max(0, ...all.flat().map((value) => value?.[1] ?? 0)), plot.least ?? 1);
  const length = history.interval_seconds * 1000;
  const x = (i) => {
    const at = i < 0 || (i < last && times[i + 1] - times[i] > 2 * length) ? times[i + 1] - length : times[i];
    return +Math.max(0, WIDTH * (1 - (times[last] - at) / (MINUTES * 60_000))).toFixed(1);
  };
  const y = (value) => +(HEIGHT * (1 - value / top)).toFixed(1);
  const lines = plot.series.map(({ look, light }, i) => [
    (light || plot.stacked) && s("path", { class: `fill ${look} ${light ? "light" : ""}`, d: path(all[i], x, y, true) }),
    !plot.stacked && s("path", { class: `stroke ${look}`, d: path(all[i], x, y, false) }),
  ]);
  const grid = [0, HEIGHT / 2, HEIGHT].map((at) => s("line", { class: "grid", x1: 0, x2: WIDTH, y1: at, y2: at }));
  const mark = looked >= 0 && last >= 0 && x(last - looked);
  const cursor = mark !== false && s("line", { class: "mark", x1: mark, x2: mark, y1: 0, y2: HEIGHT });
  const svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, grid, lines, cursor);
  return [svg, [top, top / 2, 0].map((value) => h("span", {}, plot.format(value)))];
}

/** What the legend and a screen reader say of a plot. */
function values(plot, history) {
  const at = history.time_unix_ms.length - 1 - Math.max(looked, 0);
  return plot.series.map((one) => [one, plot.format(history[one.column][at])]);
}

function swatch({ look }, stacked) {
  const shape = stacked
    ? s("rect", { class: `fill ${look}`, width: "20", height: "10" })
    : s("line", { class: `stroke ${look}`, x1: "0", x2: "20", y1: "5", y2: "5" });
  return s("svg", { class: "swatch", viewBox: "0 0 20 10", "aria-hidden": "true" }, shape);
}

function figure(plot, history) {
  const [svg, scale] = drawing(plot, history);
  const shown = values(plot, history);
  const ago = looked > 0 ? `${looked * history.interval_seconds} s ago` : "now";
  const text = shown.map(([one, value]) => `${one.label} ${value}`).join(", ");
  const area = h("div", {
    class: "area", tabindex: "0", role: "slider", "data-plot": plot.id, "aria-label": `${plot.title}, moment`,
    "aria-valuemin": -(MINUTES * 60), "aria-valuemax": 0, "aria-valuenow": -Math.max(looked, 0) * history.interval_seconds,
    "aria-valuetext": `${ago}: ${text}`,
  }, svg);
  return h("figure", { id: `plot-${plot.id}` },
    h("figcaption", {}, plot.title),
    h("ul", { class: "legend" }, shown.map(([one, value]) => h("li", {}, swatch(one, plot.stacked), `${one.label} `, h("b", {}, value)))),
    h("div", { class: "frame" }, h("div", { class: "scale", "aria-hidden": "true" }, scale), area,
      h("div", { class: "times", "aria-hidden": "true" }, h("span", {}, `${MINUTES} min ago`), h("span", {}, "now"))));
}

function plots({ history }) {
  const at = history.time_unix_ms.at(-1 - looked);
  const moment = looked < 0 || !at ? "" : `At ${new Date(at).toLocaleTimeString()}, ${looked * history.interval_seconds} s ago. Escape shows the latest again.`;
  show("cursor", moment || "Point at a plot, or choose a moment with the arrow keys.");
  show("plots", PLOTS.map((plot) => figure(plot, history)));
}

/** Follows pointer and keys; `again` draws. */
function followCursor(again, history) {
  const look = (interval) => {
    const most = history().time_unix_ms.length - 1;
    looked = Math.min(Math.max(interval, -1), most);
    again();
  };
  const box = $("plots");
  const point = (event) => {
    const area = event.target.closest(".area");
    if (!area || !history()) return;
    const { left, width } = area.getBoundingClientRect();
    const times = history().time_unix_ms;
    const wanted = (times.at(-1) ?? 0) - (1 - (event.clientX - left) / width) * MINUTES * 60_000;
    const index = times.findLastIndex((end) => end <= wanted + history().interval_seconds * 1000);
    look(times.length - 1 - Math.max(index, 0));
  };
  box.addEventListener("pointermove", point);
  box.addEventListener("pointerdown", point);
  box.addEventListener("pointerleave", () => history() && look(-1));
  box.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: 1, ArrowDown: 1, ArrowRight: -1, ArrowUp: -1, PageUp: -15, PageDown: 15, Home: 1e6, End: -1e6, Escape: -1e6 };
    if (!(event.key in steps) || !event.target.closest(".area") || !history()) return;
    event.preventDefault();
    look(Math.max(looked, 0) + steps[event.key]);
  });
}
