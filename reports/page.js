"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const say = (text) => { document.getElementById("said").textContent = text; };

  const collator = new Intl.Collator(undefined, { numeric: true });
  for (const table of all("table.sortable")) {
    const body = table.tBodies[0];
    all("thead th", table).forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        all("thead th", table).forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const isNumber = head.classList.contains("number");
        const compare = ([a], [b]) => {
          if (isNumber && (a === "" || b === "")) return (a === "") - (b === "");
          const order = isNumber ? a - b : collator.compare(a, b);
          return down ? -order : order;
        };
        const rows = all("tr", body).map((row) => [value(row), row]).sort(compare);
        body.replaceChildren(); // to move thousands of rows one by one takes seconds
        body.append(...rows.map(([, row]) => row));
        say(`sorted by ${head.textContent.trim()}, ${down ? "largest" : "smallest"} first`);
      });
    });
  }

  const filter = document.getElementById("filter");
  const rowChoices = all("select[data-row]");
  const filterRows = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of all("table.sortable tbody tr")) {
      const text = row.textContent.toLowerCase();
      const fits = (choice) => !choice.value || row.dataset[choice.dataset.row] === choice.value;
      row.hidden = !(words.every((word) => text.includes(word)) && rowChoices.every(fits));
      shown += !row.hidden;
    }
    say(`${shown} rows`);
  };
  filter?.addEventListener("input", filterRows);
  rowChoices.forEach((choice) => choice.addEventListener("change", filterRows));

  const choices = all("select[data-trait]");
  const choose = () => {
    let shown = 0;
    for (const figure of all(".gallery figure")) {
      figure.hidden = !choices.every((each) => !each.value || figure.dataset[each.dataset.trait] === each.value);
      shown += !figure.hidden;
    }
    document.getElementById("shown").textContent = `${shown} shown`;
  };
  choices.forEach((each) => each.addEventListener("change", choose));

  for (const button of all("button[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      const text = source.textContent;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        source.closest("details").open = true;
        const range = document.createRange();
        range.selectNodeContents(source);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        document.execCommand("copy");
      }
      say(`${button.textContent} copied`);
    });
  }
})();
