// The page: reads the avatar, draws it when something changes, and offers window.avatar.

const byId = (id) => document.getElementById(id);
const header = JSON.parse(byId("header").textContent), asked = new URLSearchParams(location.search);
const canvas = document.querySelector("canvas");
const say = (text) => { byId("message").textContent = text; };

// From the best picture to the fastest; a device that is too slow for one goes on with the next.
const QUALITIES = [
  { antialias: true, depths: true, largest: 1536 }, { antialias: false, depths: true, largest: 1024 },
  { antialias: false, depths: false, largest: 768 }, { antialias: false, depths: false, largest: 384 },
  { antialias: false, depths: false, largest: 256 },
];
const SLOW_MS = 42, PATIENCE_MS = 1200;   // fewer than 24 frames a second, on average over this time
const FIRST_PX = 384;                     // size of the first frame at most
const ZOOM = [0.8, 4];
const BLINKS = ["blink", "eyeBlink", "eyeBlinkLeft", "eyeBlinkRight"].map((name) => header.expressions.indexOf(name)).filter((k) => k >= 0);

const view = { yaw: 0, pitch: 0, zoom: 1 };
let strengths = {}, weights = new Array(header.shapes).fill(0), playing = null, idle = true;
let renderer = null, space = null, changed = true, posed = "", quality = 0, fixedQuality = false;
let showSliders = () => {}, held = () => false;

/** The nearest view that the avatar was packed for: angles from frontal beyond the widest shrink. */
function within({ yaw, pitch, zoom }) {
  for (let k = 0; k < 8; k++) {
    const angle = Math.acos(clamp(Math.cos(pitch) * Math.cos(yaw), -1, 1)), limit = header.widest;
    if (Math.abs(yaw) <= limit && Math.abs(pitch) <= limit && angle <= limit) break;
    const share = Math.abs(yaw) > limit || Math.abs(pitch) > limit ? limit / Math.max(Math.abs(yaw), Math.abs(pitch)) : 0.999 * limit / angle;
    yaw *= share;
    pitch *= share;
  }
  return { yaw, pitch, zoom: clamp(zoom, ...ZOOM) };
}

function setView(target) {
  if (!isPlain(target)) refuse("view", target, "an object with yaw, pitch, zoom");
  const wanted = optionsOf("setView", target, view);
  for (const name of Object.keys(target)) requireNumber(name, target[name]);
  Object.assign(view, within(wanted));
  changed = true;
  return { ...view };
}

function setExpression(target) {
  const found = space.weightsOfFrame(target, "expression");
  stop();
  strengths = isPlain(target) ? { ...target } : {};
  weights = found.weights;
  showSliders(strengths);
  changed = true;
  return { ...found, weights: [...weights] };
}

function setIdle(on) {
  requireSwitch("idle", on);
  idle = on;
  byId("idle").checked = idle;
  changed = true;
}

/** Plays expressions, `fps` a second, with straight lines between them; the promise ends with the last one. */
function play(frames, given) {
  const { fps, loop } = optionsOf("play", given, { fps: 30, loop: false });
  if (!Array.isArray(frames) || !frames.length) refuse("frames", frames, "an array of one expression or more");
  requireWithin("fps", fps, FRAME_RATES);
  requireSwitch("loop", loop);
  const found = Array.from(frames, (frame, k) => space.weightsOfFrame(frame, `frames[${k}]`));
  stop();
  return new Promise((done) => {
    playing = { frames: found.map((frame) => frame.weights), fps, loop, begun: performance.now(), done,
      missed: Math.max(...found.map((frame) => frame.missed)) };
    byId("play").textContent = "Stop";
  });
}

function stop() {
  if (!playing) return;
  const { done, missed } = playing;
  playing = null;
  byId("play").textContent = "Play";
  done({ missed });
}

function playedWeights(now) {
  const { frames, fps, loop, begun } = playing;
  let at = Math.max(0, now - begun) / 1000 * fps;
  if (loop) at %= frames.length;
  else if (at >= frames.length - 1) { weights = frames.at(-1); changed = true; stop(); return weights; }
  const first = Math.floor(at), one = frames[first], other = frames[(first + 1) % frames.length];
  return one.map((weight, s) => weight + (at - first) * (other[s] - weight));
}

let blinkAt = 2000;
function idleView(now) {
  if (held()) return view;
  return within({ yaw: view.yaw + 0.06 * Math.sin(now / 1700), pitch: view.pitch + 0.025 * Math.sin(now / 2300 + 1), zoom: view.zoom });
}
function idleWeights(now, current) {
  if (now > blinkAt + 260) blinkAt = now + 1800 + 3200 * Math.random();
  const lids = Math.max(0, 1 - Math.abs(now - blinkAt - 130) / 130);
  return current.map((weight, s) => BLINKS.includes(s) ? Math.max(weight, lids) : weight);
}

/** What the screen shows at a time: the weights, and the view of the camera. */
function shownAt(now) {
  let current = playing ? playedWeights(now) : weights;
  if (idle && !playing) current = idleWeights(now, current);
  return { current, seen: idle ? idleView(now) : view };
}

function poseFor(current) {
  const key = current.join();
  if (posed !== key) { renderer.pose(current); posed = key; }
}

/** Gives the canvas the size of its place on the page, which clears it, so a frame has to follow at once. */
function fit(largest) {
  const size = Math.max(2, Math.round(Math.min(canvas.clientWidth * Math.min(devicePixelRatio, 2), largest)));
  if (canvas.width !== size) canvas.width = canvas.height = size;
}

let drawn = 0, since = null;
function frame(now) {
  requestAnimationFrame(frame);
  const moves = idle || playing;
  if (!renderer || !(moves || changed)) { since = null; return; }
  changed = false;
  const { current, seen } = shownAt(now);
  poseFor(current);
  fit(QUALITIES[quality].largest);
  renderer.draw(seen, canvas.width, QUALITIES[quality]);
  watchSpeed(now, moves);
}

/** Steps down where frames come too slowly for some time of unbroken movement. */
function watchSpeed(now, moves) {
  if (!moves || document.hidden || since === null) { since = moves ? now : null; drawn = 0; return; }
  drawn++;
  if (now - since < PATIENCE_MS) return;
  if (!fixedQuality && (now - since) / drawn > SLOW_MS && quality < QUALITIES.length - 1) quality++;
  since = now;
  drawn = 0;
}

/** What the screen shows now, as ImageData of `size` pixels a side. */
function image(given) {
  const { size, antialias } = optionsOf("image", given, { size: 512, antialias: true }), own = onCard();
  requireWhole("size", size, [2, own.largest]);
  requireSwitch("antialias", antialias);
  const { current, seen } = shownAt(performance.now());
  poseFor(current);
  changed = true;
  try {
    return own.pixels(seen, size, { antialias, depths: true });
  } catch (error) {
    throw new Error(`size is ${size}, which cannot be drawn: ${error.message}`);
  }
}

/** Milliseconds a frame (median of `frames`) of each quality at the canvas's size, each frame with a new view and expression. */
async function bench(given) {
  const { frames } = optionsOf("bench", given, { frames: 40 });
  requireWhole("frames", frames, [1, 1000]);
  const found = [];
  for (const { antialias, depths } of QUALITIES.slice(0, 3)) {
    const times = [];
    for (let k = 0; k < frames + 3; k++) {
      const begun = performance.now(), phase = k / frames * 2 * Math.PI, own = onCard();
      own.pose(weights.map((_, s) => s === k % header.shapes ? 0.5 - 0.5 * Math.cos(phase) : 0));
      posed = "";
      own.draw({ yaw: 0.3 * Math.sin(phase), pitch: 0.1 * Math.cos(phase), zoom: 1 }, canvas.width, { antialias, depths });
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));  // waits for the frame
      times.push(performance.now() - begun);
      if (k % 10 === 9) await new Promise((resolve) => setTimeout(resolve));
    }
    found.push({ antialias, depths, size: canvas.width, ms: +times.slice(3).sort((a, b) => a - b)[frames >> 1].toFixed(2) });
  }
  changed = true;
  return found;
}

/** Unpacks the expressions one by one when there is time; one that is asked for before is unpacked then. */
async function prepareShapes(own) {
  for (let k = 0; k < header.shapes * header.inbetweens; k++) {
    await new Promise((resolve) => (window.requestIdleCallback ?? setTimeout)(resolve));
    if (renderer !== own) return;
    own.prepare(k);
  }
}

/** What draws; an Error where the page has not loaded it yet, or has lost it. */
function onCard() {
  if (!renderer) throw new Error("the avatar is not ready");
  return renderer;
}

let gl = null, parts = [];
async function build() {
  const begun = performance.now();
  const picture = (bytes) => bytes.length ? createImageBitmap(new Blob([bytes], { type: "image/avif" }),
    { premultiplyAlpha: "none", colorSpaceConversion: "none" }) : null;
  const [bytes, ...pictures] = await Promise.all([gunzipped(parts[0]), ...parts.slice(1).map(picture)]);
  const read = performance.now(), arrays = arraysIn(bytes, header), mesh = unpackedMesh(header, arrays);
  const unpacked = performance.now();
  space ??= expressionSpace(header, arrays);
  if (gl.isContextLost()) return null;
  renderer = makeRenderer(gl, header, mesh, pictures);
  posed = "";
  poseFor(weights);
  fit(Math.min(FIRST_PX, QUALITIES[quality].largest));
  renderer.draw(view, canvas.width, { ...QUALITIES[quality], antialias: false });  // soon, and the next one better
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  changed = true;
  say("");
  prepareShapes(renderer);
  return { arrays, times: { decode: read - begun, unpack: unpacked - read, upload: performance.now() - unpacked } };
}

function connectControls(arrays) {
  const change = (name, strength) => { setExpression({ ...strengths, [name]: strength }); };
  const shown = [makeSliders(byId("sliders"), header.expressions, change), makeSliders(byId("units"), space.makeable, change)];
  showSliders = (some) => shown.forEach((show) => show(some));
  byId("more").hidden = !space.makeable.length;
  const reset = () => { setExpression({}); setView({ yaw: 0, pitch: 0, zoom: 1 }); };
  held = controlView(canvas, view, setView, reset);
  byId("controls").addEventListener("reset", (event) => { event.preventDefault(); reset(); });
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("idle").addEventListener("change", (event) => setIdle(event.target.checked));
  if (header.sequence) {
    const rows = arrays.raw("sequence", Float32Array), width = header.coefficients;
    const frames = Array.from({ length: rows.length / width }, (_, k) => rows.subarray(k * width, (k + 1) * width));
    byId("play").hidden = false;
    byId("play").addEventListener("click", () => { if (playing) stop(); else play(frames, header.sequence); });
  }
}

/** A parameter of the page's address; one whose value is none of `values` counts as absent, and the page says so. */
function parameter(name, values) {
  const value = asked.get(name);
  if (value === null || values.includes(value)) return value;
  const line = `the address has ${name}=${value.slice(0, 40)}, expected ${values.filter(Boolean).join(", ")}`;
  console.warn(line);
  byId("note").append(line, document.createElement("br"));
  return null;
}

async function start() {
  byId("controls").hidden = parameter("controls", ["0", "1"]) === "0";
  byId("licence").textContent = header.licence;
  if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old (it has no DecompressionStream)");
  gl = canvas.getContext("webgl2", { alpha: true, antialias: false, powerPreference: "high-performance" });
  if (!gl) throw new Error("this page needs WebGL2, which this browser does not have or has switched off");
  const begun = performance.now(), all = bytesOfBase64(byId("data").textContent.trim());
  byId("data").remove();
  header.lengths.reduce((at, length) => (parts.push(all.subarray(at, at + length)), at + length), 0);
  const step = parameter("quality", Object.keys(QUALITIES)), moving = parameter("idle", ["0", "1"]);
  if (step !== null) { quality = +step; fixedQuality = true; }
  if (moving === "0" || (moving === null && matchMedia("(prefers-reduced-motion: reduce)").matches)) setIdle(false);
  const measures = ["", "1"].includes(parameter("bench", ["", "0", "1"]));
  // A phone takes the graphics away from a page that it puts aside; what the user has set stays.
  canvas.addEventListener("webglcontextlost", (event) => { event.preventDefault(); renderer = null; say("Waiting for the graphics card…"); });
  canvas.addEventListener("webglcontextrestored", () => build().catch(fail));
  const { arrays, times } = await build();
  connectControls(arrays);
  new ResizeObserver(() => { changed = true; }).observe(canvas);
  requestAnimationFrame(frame);
  if (measures) showBench();
  return { expressions: [...header.expressions], units: [...header.units], triangles: renderer.triangles,
    milliseconds: { ...times, all: performance.now() - begun } };
}

async function showBench() {
  setIdle(false);
  fit(QUALITIES[quality].largest);
  byId("bench").hidden = false;
  byId("bench").textContent = "measuring…";
  const info = gl.getExtension("WEBGL_debug_renderer_info"), name = gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  const lines = (await bench()).map(({ antialias, depths, size, ms }) =>
    `${size} px, ${antialias ? "smooth" : "plain"} edges, ${depths ? "with" : "without"} depth pass: ${ms} ms`);
  byId("bench").textContent = [name, ...lines].join("\n");
}

function fail(error) {
  say(`Cannot show this avatar: ${error.message}.`);
  throw error;
}

const ready = start().catch(fail);
ready.catch(() => {});                    // the page has said it; who waits for `ready` gets the error too
const whenReady = (call) => (...given) => { if (!space) throw new Error("wait for avatar.ready"); return call(...given); };
window.avatar = { ready, setView, setIdle, setExpression: whenReady(setExpression), play: whenReady(play), stop, image, bench,
  get view() { return { ...view }; }, get quality() { return quality; } };
