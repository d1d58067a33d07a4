"use strict";
// All is visible without this script: it folds, filters, sorts and copies, and asks nothing of anyone.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  const findings = all("[data-finding]");
  findings.forEach((card, rank) => (card.dataset.rank = rank));
  for (const control of all(".tools, .copy, #theme")) control.hidden = false;
  for (const part of all("details[data-fold]")) part.open = false;

  const theme = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const named = () => (theme.textContent = dark() ? "Light" : "Dark");
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    named();
  });
  system.addEventListener("change", named);
  named();

  function filter() {
    const words = byId("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const column = byId("column").value, verdict = byId("verdict").value;
    let shown = 0;
    for (const card of findings) {
      const text = card.textContent.toLowerCase();
      const fits = (!column || card.dataset.column === column) && (!verdict || card.dataset.verdict === verdict);
      card.hidden = !(fits && words.every((word) => text.includes(word)));
      shown += !card.hidden;
    }
    for (const group of all("[data-group]")) group.hidden = !group.querySelector("[data-finding]:not([hidden])");
    byId("count").textContent = `${shown} of ${findings.length} findings`;
  }

  // Within its group only: other groups share no unit with it. What has no headroom keeps its place at the end.
  const size = (card) => ("size" in card.dataset ? Number(card.dataset.size) : -Infinity);
  const orders = {
    rank: (a, b) => a.dataset.rank - b.dataset.rank,
    size: (a, b) => (size(a) === size(b) ? orders.rank(a, b) : size(b) - size(a)),
    name: (a, b) => a.dataset.name.localeCompare(b.dataset.name),
  };
  function sort() {
    for (const group of all("[data-group]")) group.append(...all("[data-finding]", group).sort(orders[byId("order").value]));
  }

  if (findings.length) {
    for (const id of ["text", "column", "verdict"]) byId(id).addEventListener("input", filter);
    byId("order").addEventListener("input", sort);
    for (const [id, open] of [["expand", true], ["collapse", false]])
      byId(id).addEventListener("click", () => all("#findings details").forEach((part) => (part.open = open)));
    filter();
  }

  // A link to a finding that is filtered away shows it again.
  addEventListener("hashchange", () => {
    const card = byId(decodeURIComponent(location.hash.slice(1)));
    if (!card || !card.hidden) return;
    for (const id of ["text", "column", "verdict"]) byId(id).value = "";
    filter();
    card.scrollIntoView();
  });

  for (const button of all(".copy"))
    button.addEventListener("click", async () => {
      const line = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(line.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(line);
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });

  const value = (row, at) => (row.cells[at] ? row.cells[at].textContent.trim() : "");
  const real = (text) => parseFloat(text.replace(/[,\s]/g, "").replace("−", "-"));
  function compare(a, b) {
    const x = real(a), y = real(b);
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a.localeCompare(b);
    return x - y;
  }
  for (const table of all("table.sortable"))
    all("thead th", table).forEach((head, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows].sort((a, b) => compare(value(a, at), value(b, at)) * (down ? -1 : 1));
        table.tBodies[0].append(...rows);
      });
    });
})();
