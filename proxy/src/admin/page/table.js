// Tables. On a narrow screen each row becomes a card whose cells say what they are, so the roles are said, too: browsers forget
// that a table is one when its parts are shown as blocks.

/** Rows that are shown before somebody asks for all. */
const FEW = 10;
/** Tables that are shown whole. */
const opened = new Set();

/**
 * A table. A column is `{ label, cell, number, wide, short }`; the first one heads its row. `name` says what the table is of.
 */
function table(id, name, columns, rows) {
  const all = opened.has(id) || rows.length <= FEW + 2;
  const shown = all ? rows : rows.slice(0, FEW);
  const head = columns.map(({ label, number }) => h("th", { scope: "col", role: "columnheader", class: number && "number" }, label));
  const line = (row) => h("tr", { role: "row" }, columns.map(({ label, cell, number, wide, short }, i) => {
    const content = cell(row);
    if (i === 0) return h("th", { scope: "row", role: "rowheader" }, content);
    const kind = [number && "number", wide && "wide", short && "short", content === NONE && "none"].filter(Boolean).join(" ");
    return h("td", { role: "cell", class: kind || null, "data-label": label }, number || wide ? content : h("span", {}, content));
  }));
  const more = rows.length > FEW + 2 && h("div", { class: "more" },
    h("button", { type: "button", "data-table": id, "aria-expanded": String(all) }, all ? `Show the first ${FEW} only` : `Show all ${whole.format(rows.length)}`),
    !all && h("span", { class: "soft small" }, `${FEW} of ${whole.format(rows.length)}`));
  return [
    h("table", { role: "table", id: `table-${id}` },
      h("caption", { class: "unseen" }, name),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
      h("tbody", { role: "rowgroup" }, shown.map(line))),
    more,
  ];
}

/** Opens and closes tables. */
function followTables(again) {
  document.addEventListener("click", (event) => {
    const id = event.target.closest?.("[data-table]")?.dataset.table;
    if (!id) return;
    if (!opened.delete(id)) opened.add(id);
    again();
  });
}

/** How much of something is used, as a bar. */
function bar(share) {
  const part = Math.min(Math.max(share, 0), 1);
  const look = part >= 1 ? "full" : part >= 0.8 ? "two" : "one";
  return s("svg", { class: "bar", "aria-hidden": "true" },
    s("rect", { class: "back", width: "100%", height: "100%", rx: "3" }),
    part > 0 && s("rect", { class: look, width: `${(part * 100).toFixed(1)}%`, height: "100%", rx: "3" }));
}
