"use strict";
(() => {
  const rungs = JSON.parse(document.getElementById("compared").dataset.rungs);
  const rows = [...document.querySelectorAll("table.sortable tbody tr")];
  const one = document.getElementById("one");
  const other = document.getElementById("other");
  const compared = document.getElementById("compared");
  const verdict = (row) => row?.dataset.sentence || "–";
  const kind = (row) => row?.dataset.verdict || "–";

  const cell = (tag, text, mark) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (mark) made.className = mark;
    return made;
  };

  const value = (row, rung) => {
    const text = row?.querySelector(`td[data-rung="${rung}"]`)?.dataset.value ?? "";
    return text === "" ? null : Number(text);
  };

  const both = (a, b) => {
    const scale = Number(compared.dataset.scale);
    const digits = Number(compared.dataset.digits);
    const shown = (number) => (number === null ? "–" : (number * scale).toFixed(digits));
    if (a === null && b === null) return "–";
    if (a === null || b === null) return `${shown(a)} → ${shown(b)}`;
    const change = (b - a) * scale;
    const sign = change > 0 ? "+" : change < 0 ? "−" : "±";
    return `${shown(a)} → ${shown(b)} (${sign}${Math.abs(change).toFixed(digits)})`;
  };

  const line = (key, a, b) => {
    const made = document.createElement("tr");
    const name = cell("th", key);
    name.scope = "row";
    const words = kind(a) === kind(b) ? kind(a) : `${kind(a)} → ${kind(b)}`;
    const judged = cell("td", words, kind(a) === kind(b) ? "" : "changed");
    judged.title = `${verdict(a)} → ${verdict(b)}`;
    made.append(name, ...rungs.map(([rung]) => cell("td", both(value(a, rung), value(b, rung)), "number")), judged);
    return made;
  };

  const traits = (row) => JSON.parse(row.dataset.traits);

  // A row's name: what tells it from the other rows of its run. What is the same all over a run is no part of
  // it, so that runs with other attacks or radii can be compared; it is told beside.
  const naming = (sides) => {
    const names = Object.keys(traits(sides[0][0]));
    const values = (side, name) => [...new Set(side.map((row) => traits(row)[name]))];
    const naming = names.filter((name) => name === "defense" || sides.some((side) => values(side, name).length > 1));
    const apart = names.filter((name) => !naming.includes(name));
    const differing = apart.filter((name) => values(sides[0], name)[0] !== values(sides[1], name)[0]);
    const differences = differing.map((name) => `${name}: ${values(sides[0], name)[0]} → ${values(sides[1], name)[0]}`);
    return [(row) => naming.map((name) => traits(row)[name]).join(" · "), differences];
  };

  const compare = () => {
    compared.replaceChildren();
    if (!one.value || !other.value) return;
    const chosen = [one.value, other.value].map((run) => rows.filter((row) => row.dataset.run === run));
    const [key, differences] = naming(chosen);
    const sides = chosen.map((side) => new Map(side.map((row) => [key(row), row])));
    const keys = [...new Set(sides.flatMap((side) => [...side.keys()]))];
    const images = chosen.map((side) => side[0].dataset.images);
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const title of ["row", ...rungs.map(([, title]) => title), "verdict"]) {
      const made = cell("th", title, title === "row" || title === "verdict" ? "" : "number");
      made.scope = "col";
      head.append(made);
    }
    const body = table.createTBody();
    body.append(...keys.map((key) => line(key, sides[0].get(key), sides[1].get(key))));
    compared.append(table);
    const pairing = !images[0] || !images[1]
      ? "Whether the runs have the same images is not known."
      : images[0] === images[1]
      ? "Both runs have the same images; advbench report B --baseline A has the intervals of the differences."
      : "The runs have other images each, to which a difference may be due.";
    document.getElementById("pairing").textContent = [...differences, pairing].join("; ");
    document.getElementById("said").textContent = `${keys.length} rows compared`;
  };

  for (const choice of [one, other]) choice.addEventListener("change", compare);
  document.getElementById("comparing").hidden = false;
})();
