"use strict";
// Without this script the page is whole: in the order it was made, nothing hidden, links working.

const byId = (id) => document.getElementById(id);
const collator = new Intl.Collator("en", { numeric: true });

// A head of a sortable table is a button: highest first, or A first; then the reverse; holes last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const keyed = [...table.tBodies[0].rows].map((row) => {
        const cell = row.cells[column];
        const key = cell.dataset.value ?? cell.textContent.trim();
        return { row, key, number: Number(key) };
      });
      const words = keyed.some(({ number }) => Number.isNaN(number));
      const before = head.getAttribute("aria-sort");
      const down = before ? before === "ascending" : !words;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      keyed.sort((a, b) => {
        if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "");
        const sign = words ? collator.compare(a.key, b.key) : a.number - b.number;
        return down ? -sign : sign;
      });
      table.tBodies[0].append(...keyed.map(({ row }) => row));
      byId("said").textContent = `Sorted by ${button.innerText.replace("\n", ", ")}, ${head.ariaSort}.`;
    });
  });
}

// Words that are typed keep the rows, or the columns, whose names have all of them.
for (const input of document.querySelectorAll("input[data-filters]")) {
  const table = byId(input.getAttribute("aria-controls"));
  const count = byId(input.getAttribute("aria-describedby"));
  const ofRows = input.dataset.filters === "rows";
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const named = ofRows
      ? [...table.tBodies[0].rows].map((row) => {
          const names = [...row.querySelectorAll("th, .name")];
          return { cells: [row], name: names.map((cell) => cell.textContent).join(" ") };
        })
      : [...table.tHead.querySelectorAll("th[data-column]")].map((head) => ({
          cells: [...table.rows].map((row) => row.cells[head.cellIndex]),
          name: head.dataset.column,
        }));
    let shown = 0;
    for (const { cells, name } of named) {
      const hidden = !words.every((word) => name.toLowerCase().includes(word));
      shown += !hidden;
      for (const cell of cells) cell.hidden = hidden;
    }
    count.textContent = words.length ? `${shown} of ${named.length}` : `all ${named.length}`;
  };
  input.addEventListener("input", filter);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    input.value = "";
    filter();
  });
  if (input.value) filter(); // a browser that goes back fills it in again
}

// A link into a closed section opens it, and the keyboard goes on from there.
const reveal = () => {
  const target = byId(location.hash.slice(1));
  const section = target?.closest("details");
  if (!section) return;
  for (let node = target; node; node = node.parentElement) {
    if (node.localName === "details") node.open = true;
  }
  const place = target.querySelector("th") ?? section.querySelector("summary");
  if (place.localName === "th") place.tabIndex = -1;
  place.focus({ preventScroll: true });
  place.scrollIntoView({ block: "center" });
};
addEventListener("hashchange", reveal);
addEventListener("click", ({ target }) => {
  const link = target.closest("a");
  // Again: the address does not change. The browser goes there first, and takes the focus along.
  if (link && link.hash === location.hash) setTimeout(reveal);
});
reveal();

// The numbers of a picture are beside it where there is room; on paper they and all notes are.
if (matchMedia("(max-width: 60rem)").matches) {
  for (const numbers of document.querySelectorAll("details.numbers")) numbers.open = false;
}
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details.unfolds:not([open])")];
  for (const each of closed) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of closed) each.open = false;
});
