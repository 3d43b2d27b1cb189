// The panel: person, picture, expression. What it changes is in `view`; `changed` is called then.

const WORDS = { colour: "Colour", depth: "Depth", normals: "Normals", slice: "Slices", baked: "Played", networks: "Exact",
  yz: "from the side", xz: "from above" };
const SIZES = [128, 256, 384, 512];

/** Buttons of which one is chosen; returns a function that shows a choice. */
function makeChoice(id, values, chosen) {
  const place = byId(id);
  place.replaceChildren(...values.map((value) => {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { type: "radio", name: id, value });
    input.addEventListener("change", () => chosen(value));
    label.append(input, WORDS[value] ?? `${value} px`);
    return label;
  }));
  place.hidden = values.length < 2;
  return (value) => { for (const input of place.querySelectorAll("input")) input.checked = input.value === String(value); };
}

/** Fills the panel for a subject; returns a function that shows what `view` has. */
function fillPanel(changed) {
  const set = (name) => (value) => { view[name] = value; changed(); show(); };
  const showing = {
    shown: makeChoice("shown", about.shown, set("shown")), source: makeChoice("source", about.sources, set("source")),
    size: makeChoice("size", SIZES, set("size")), plane: makeChoice("plane", ["yz", "xz"], set("plane")),
  };
  const strengthen = (name, value) => {
    if (value) view.strengths[name] = value; else delete view.strengths[name];
    changed();
  };
  for (const id of ["named", "units", "coefficients"]) byId(id).replaceChildren();
  const named = makeSliders(byId("named"), about.expressions, strengthen);
  const units = makeSliders(byId("units"), about.units, strengthen);
  const first = about.coefficients.map((name, k) => `${k + 1} ${name.replace(/^coefficient \d+$/, "")}`.trim());
  const numbers = makeSliders(byId("coefficients"), first, (name, value) => {
    const at = first.indexOf(name);
    view.coefficients = first.map((_, k) => k === at ? value : view.coefficients[k] ?? 0);
    changed();
  }, [-3, 3]);
  byId("unitsBox").hidden = !about.units.length;
  byId("coefficientsBox").hidden = !first.length;
  byId("person").hidden = byId("save").hidden = about.kind !== "model";
  byId("name").textContent = about.name;
  byId("licence").textContent = about.licence;
  byId("out").textContent = `${about.out}/`;
  byId("webcam").hidden = !about.webcam || !about.units.length;
  document.title = `${about.name} – anifacegan view`;

  function show() {
    for (const [name, choose] of Object.entries(showing)) choose(view[name]);
    byId("seed").value = view.seed;
    byId("psi").value = view.psi;
    byId("psiValue").value = view.psi.toFixed(2);
    byId("slice").hidden = view.shown !== "slice";
    byId("source").hidden = about.sources.length < 2 || view.shown === "slice";
    byId("at").value = view.at;
    byId("atValue").value = `${Math.round(1000 * view.at)} mm`;
    named(view.strengths);
    units(view.strengths);
    numbers(Object.fromEntries(first.map((name, k) => [name, view.coefficients[k] ?? 0])));
  }
  show();
  return show;
}

/** Connects what is always in the panel. */
function connectPanel(changed, show, reset) {
  const seed = (value) => { view.seed = clamp(Math.round(+value) || 0, 0, Number.MAX_SAFE_INTEGER); show(); changed(); };
  byId("seed").addEventListener("change", (event) => seed(event.target.value));
  byId("before").addEventListener("click", () => seed(view.seed - 1));
  byId("after").addEventListener("click", () => seed(view.seed + 1));
  byId("any").addEventListener("click", () => seed(crypto.getRandomValues(new Uint32Array(1))[0] % 1e6));
  byId("psi").addEventListener("input", (event) => { view.psi = +event.target.value; show(); changed(); });
  byId("at").addEventListener("input", (event) => { view.at = +event.target.value; show(); changed(); });
  byId("panel").addEventListener("reset", (event) => { event.preventDefault(); reset(); });
  byId("panel").addEventListener("submit", (event) => event.preventDefault());
}
