// What is on view, and the connection to the server.

const byId = (id) => document.getElementById(id);
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const PREVIEW_PX = 96;                    // of frames that the networks draw while something moves
const STILL_MS = 250;                     // without a change, after which the networks draw the whole size
const AGAIN_MS = [500, 1000, 2000, 4000]; // waits before connecting again

const view = { seed: 1, psi: 0.7, strengths: {}, coefficients: [], yaw: 0, pitch: 0, size: 256, shown: "colour",
  source: "baked", plane: "yz", at: 0 };
let about = null, newest = null;          // what the server says of the subject; the facts of the newest frame

/** The nearest view that is offered: angles from frontal beyond the widest shrink. */
function within(yaw, pitch) {
  const widest = about ? about.widest : 0.6;
  for (let k = 0; k < 12; k++) {
    const angle = Math.acos(clamp(Math.cos(pitch) * Math.cos(yaw), -1, 1));
    if (angle <= widest) break;
    yaw *= 0.999 * widest / angle;
    pitch *= 0.999 * widest / angle;
  }
  return { yaw, pitch };
}

/** Connects, and connects again when the connection is lost; `on` has a function for each type of message. */
function connect(on) {
  let socket = null, tries = 0;
  function open() {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket${location.search}`);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => { tries = 0; });
    socket.addEventListener("message", ({ data }) => {
      if (typeof data === "string") { const facts = JSON.parse(data); on[facts.type]?.(facts); return; }
      const length = new DataView(data).getUint32(0);
      const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
      on[facts.type]?.(facts, new Uint8Array(data, 4 + length));
    });
    socket.addEventListener("close", () => {
      on.lost();
      setTimeout(open, AGAIN_MS[Math.min(tries++, AGAIN_MS.length - 1)]);
    });
  }
  open();
  const send = (content) => { if (socket.readyState !== WebSocket.OPEN) return false; socket.send(content); return true; };
  return { send, order: (type, facts = {}) => send(JSON.stringify({ type, ...facts })) };
}
