// Pointer, wheel, keys and sliders of the page.

const KEYS = { ArrowLeft: ["yaw", -0.05], ArrowRight: ["yaw", 0.05], ArrowUp: ["pitch", -0.05], ArrowDown: ["pitch", 0.05] };
const TURN_OF_A_WIDTH = 1.6;              // radians for a drag across the whole canvas

/** Turns and zooms with one finger or the mouse, two fingers, the wheel and keys; returns whether a finger is down. */
function controlView(canvas, view, setView, reset) {
  const touches = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    touches.set(event.pointerId, [event.clientX, event.clientY]);
    canvas.setPointerCapture(event.pointerId);
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, (event) => touches.delete(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    const before = touches.get(event.pointerId), now = [event.clientX, event.clientY];
    if (!before) return;
    const other = [...touches].find(([id]) => id !== event.pointerId);
    if (other) {
      const away = ([x, y]) => Math.hypot(x - other[1][0], y - other[1][1]);
      setView({ zoom: view.zoom * away(now) / Math.max(away(before), 1) });
    } else {
      const turn = TURN_OF_A_WIDTH / canvas.clientWidth / view.zoom;
      setView({ yaw: view.yaw + turn * (now[0] - before[0]), pitch: view.pitch + turn * (now[1] - before[1]) });
    }
    touches.set(event.pointerId, now);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    setView({ zoom: view.zoom * Math.exp(-0.001 * event.deltaY * (event.deltaMode ? 30 : 1)) });
  }, { passive: false });
  canvas.addEventListener("dblclick", reset);
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const turn = KEYS[event.key];
    if (turn) setView({ [turn[0]]: view[turn[0]] + turn[1] });
    else if (event.key === "+" || event.key === "=") setView({ zoom: view.zoom * 1.1 });
    else if (event.key === "-") setView({ zoom: view.zoom / 1.1 });
    else if (event.key === "0" || event.key === "Escape") reset();
    else return;
    event.preventDefault();
  });
  return () => touches.size > 0;
}

/** A slider for each name; `changed(name, strength)` is called when one is moved. Returns a function that shows strengths. */
function makeSliders(place, names, changed, [min, max] = [0, 1]) {
  const sliders = names.map((name) => {
    const label = document.createElement("label"), input = document.createElement("input");
    const value = document.createElement("output");
    Object.assign(input, { type: "range", min, max, step: 0.01, value: 0, name });
    label.append(name.replaceAll("_", " "), input, value);
    place.append(label);
    input.addEventListener("input", () => { value.value = (+input.value).toFixed(2); changed(name, +input.value); });
    return { name, input, value };
  });
  const show = (strengths) => sliders.forEach(({ name, input, value }) => {
    const strength = Object.hasOwn(strengths, name) ? strengths[name] : 0;
    input.value = strength;
    value.value = strength.toFixed(2);
  });
  show({});
  return show;
}
