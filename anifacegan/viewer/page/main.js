// The page: asks for frames when something changes, shows them, and carries out the buttons.

const canvas = document.querySelector("canvas"), context = canvas.getContext("2d");
let show = () => {}, dirty = false, changedAt = 0, sharp = true, begun = new Map(), id = 0, recording = false, awake = false;

function say(line, isError = false) {
  byId("said").textContent = line;
  byId("said").className = isError ? "error" : "";
}

function stageSays(text) {
  byId("message").textContent = text;
  byId("stage").classList.toggle("idle", Boolean(text));
}

function changed() { dirty = true; changedAt = performance.now(); wake(); }

function setView(target) {
  const { yaw = view.yaw, pitch = view.pitch } = target;
  Object.assign(view, within(yaw, pitch));
  changed();
}

function reset() {
  Object.assign(view, { strengths: {}, coefficients: [], yaw: 0, pitch: 0 });
  show();
  changed();
}

/** Whether the networks will draw the next frame, as far as the page can know: then it is small while something moves. */
const isSlow = () => newest ? newest.source === "networks" : about.kind === "model";

/** Sees to a frame soon. A page on which nothing moves asks its browser for nothing. */
function wake() {
  if (awake) return;
  awake = true;
  requestAnimationFrame(ask);
}

function ask(now) {
  awake = false;
  if (!about || about.kind === "nothing") return;
  const still = now - changedAt > STILL_MS;
  if (!dirty && sharp) return;
  wake();
  if (!dirty && !still) return;
  const coarse = isSlow() && !still;
  const size = coarse ? Math.min(view.size, PREVIEW_PX) : view.size;
  id += 1;
  if (!server.order("draw", { id, view: { ...view, size } })) return;
  begun.set(id, now);
  dirty = false;
  sharp = !coarse;
}

async function showFrame(facts, jpeg) {
  const image = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
  if (canvas.width !== image.width) canvas.width = canvas.height = image.width;
  context.drawImage(image, 0, 0);
  stageSays("");
  for (const number of begun.keys()) if (number < facts.id) begun.delete(number);
  const round = performance.now() - (begun.get(facts.id) ?? performance.now());
  begun.delete(facts.id);
  newest = { ...facts, round_ms: round };
  const note = document.createElement("span");
  note.className = "note";
  note.textContent = facts.note ? ` · ${facts.note}` : "";
  const by = facts.source === "baked" ? "played" : "networks";
  const time = (ms) => ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
  byId("facts").replaceChildren(`${by} · ${facts.size} px · drawn in ${time(facts.draw_ms)} · round trip ${time(round)}`, note);
}

const server = connect({
  hello(facts) {
    const known = about;
    about = facts;
    begun.clear();
    newest = null;
    stageSays("Drawing…");
    if (about.kind === "nothing") { stageSays(about.name || "Nothing is on view."); return; }
    if (!known || known.name !== about.name || known.kind !== about.kind) Object.assign(view, about.view);
    if (!about.shown.includes(view.shown)) view.shown = about.shown[0];
    if (!about.sources.includes(view.source)) view.source = about.sources[0];
    Object.assign(view, within(view.yaw, view.pitch));
    show = fillPanel(changed);
    say("");
    changed();
  },
  frame: showFrame,
  redraw: () => changed(),
  said: (facts) => say(facts.line),
  error(facts) {
    say(facts.line, true);
    if (facts.id !== null) { begun.delete(facts.id); stageSays(""); }
  },
  recording(facts) {
    recording = facts.on;
    byId("record").setAttribute("aria-pressed", recording);
    byId("record").textContent = recording ? "Stop" : "Record";
    if (recording) say(`recording what is shown, up to ${facts.most_s} s or ${facts.most_mb} MB`);
    if (facts.full) say("the recording has reached its limit and is being written");
  },
  strengths(facts) {
    if (facts.strengths) {
      for (const name of about.units) delete view.strengths[name];
      for (const [name, value] of Object.entries(facts.strengths))
        if (about.units.includes(name) && value > 0.01) view.strengths[name] = value;
      show();
      changed();
    }
    camera.next();
  },
  lost() {
    stageSays("The server does not answer. Trying again…");
    recording = false;
    byId("record").setAttribute("aria-pressed", false);
    byId("record").textContent = "Record";
    camera.lost();
  },
});
const camera = connectWebcam(server, say);

connectPanel(changed, () => show(), reset);
controlView(canvas, { get yaw() { return view.yaw; }, get pitch() { return view.pitch; }, zoom: 1 }, setView,
  () => setView({ yaw: 0, pitch: 0 }));
byId("screenshot").addEventListener("click", () => server.order("screenshot", { view }));
byId("save").addEventListener("click", () => server.order("person", { view }));
byId("record").addEventListener("click", () => { server.order("record", { on: !recording }); if (!recording) changed(); });
const load = () => { if (byId("path").value.trim()) server.order("load", { path: byId("path").value.trim() }); };
byId("load").addEventListener("click", load);
byId("path").addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); load(); } });
window.viewer = { get view() { return structuredClone(view); }, get about() { return about; }, get newest() { return newest; } };
