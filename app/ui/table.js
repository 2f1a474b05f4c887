// A long table, sorted and divided into pages by the server, for the scripts that come after. nodes.js
// and server.js stand before this file.
const watchSorting = (sortBy) => {
  for (const head of element.querySelectorAll("th[data-sort]"))
    head.querySelector("button").addEventListener("click", () => sortBy(head.dataset.sort));
};
const drawSorting = ({ sort, descending }) => {
  for (const head of element.querySelectorAll("th[data-sort]"))
    if (head.dataset.sort === sort) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
};

// `place` gives the page, from 0, and how many pages there are.
const watchPager = (place, turnTo) => {
  const turn = (className, label, text, to) => button(text, () => turnTo(to(place())), { className, aria: { label } });
  find(".pager").replaceChildren(
    turn("first", "First page", "«", () => 0),
    turn("previous", "Page before", "‹", ({ page }) => page - 1),
    make("span", { className: "place" }),
    turn("next", "Page after", "›", ({ page }) => page + 1),
    turn("last", "Last page", "»", ({ pages }) => pages - 1));
};
const drawPager = ({ page, pages, first, rows }, all) => {
  find(".pager").hidden = pages < 2;
  find(".pager .place").textContent = `${(first + 1).toLocaleString("en")} to ${(first + rows.length).toLocaleString("en")} of ${all.toLocaleString("en")}`;
  for (const name of ["first", "previous"]) find(`.pager .${name}`).disabled = page === 0;
  for (const name of ["next", "last"]) find(`.pager .${name}`).disabled = page >= pages - 1;
};
