"use strict";
const read = (cell) => cell.dataset.value ?? cell.textContent.replaceAll(",", "");

const compare = (one, other) => {
  const [a, b] = [Number(one), Number(other)];
  if (one === "" || other === "") return (one === "") - (other === "");
  return Number.isNaN(a) || Number.isNaN(b) ? one.localeCompare(other) : a - b;
};

for (const table of document.querySelectorAll(".sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const order = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => sign * compare(read(a.cells[column]), read(b.cells[column])));
      table.tBodies[0].append(...rows);
    });
  });
}
