// Makes elements, changes those there are into them, and writes numbers. Whatever comes from outside becomes text, never markup.

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const NONE = "–";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element of HTML. */
const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
/** One of SVG. */
const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Makes what is there into what is wanted, and keeps what stays: focus, selection and place on the page. */
function become(old, wanted) {
  if (old.nodeType !== wanted.nodeType || old.nodeName !== wanted.nodeName) return old.replaceWith(wanted);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!wanted.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of wanted.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  children(old, [...wanted.childNodes]);
}

function children(parent, wanted) {
  const old = [...parent.childNodes];
  for (let i = 0; i < Math.max(old.length, wanted.length); i += 1) {
    if (!wanted[i]) old[i].remove();
    else if (!old[i]) parent.append(wanted[i]);
    else become(old[i], wanted[i]);
  }
}

/** Shows these nodes in the element of this id. */
const show = (id, ...nodes) => children($(id), nodes.flat(Infinity).filter(Boolean).map((node) => (typeof node === "string" ? new Text(node) : node)));

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Three digits, and more where they stand before the point. */
function digits(value) {
  if (value === 0) return "0";
  const places = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return new Intl.NumberFormat("en", { maximumFractionDigits: Math.min(places, 6) }).format(value);
}

const count = (value) => (value === null || value === undefined ? NONE : whole.format(value));
const rate = (value) => (value === null || value === undefined ? NONE : digits(value));

/** A number and its unit. */
function span(ms) {
  if (ms === null || ms === undefined) return [NONE, ""];
  if (ms === 0) return ["0", "ms"];
  if (ms < 1) return [digits(ms * 1000), "µs"];
  return ms < 1000 ? [digits(ms), "ms"] : [digits(ms / 1000), "s"];
}
const time = (ms) => span(ms).join("\u00a0").trim();

function usd(value) {
  if (value === null || value === undefined) return NONE;
  if (value !== 0 && value < 1) return `$${Number(value.toPrecision(3)).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 9 })}`;
  return `$${value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

/** Seconds in the two largest units. */
function long(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let rest = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [unit, size] of units) {
    if (rest >= size && parts.length < 2) parts.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return parts.join(" ") || "0 s";
}

const words = (name) => name.replaceAll("_", " ");
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const sum = (list, of) => list.reduce((total, one) => total + of(one), 0);

/** A state: a sign and a word, so that it does not take colour to tell. */
function state(kind, text) {
  const sign = { good: "●", warn: "▲", bad: "■" }[kind];
  return h("b", { class: kind }, h("span", { "aria-hidden": "true" }, `${sign} `), text);
}

/** A list of names and values; what has no value is left out. */
const facts = (pairs) => h("dl", { class: "facts card" }, pairs.filter(([, value]) => value !== null && value !== undefined)
  .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

/** A number that stands for a field of /status, which tests look up by its name. */
const field = (name, value, format = count) => h("data", { value, "data-field": name }, format(value));

const empty = (text) => h("p", { class: "soft" }, text);
