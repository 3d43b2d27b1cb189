// Checks of what other pages hand to window.avatar: a refusal is one RangeError with the name, what came, what is expected.

const STRONGEST = 1000;                   // strength of a name, in size, as face_model/expressions.py has it
const LARGEST_COEFFICIENT = 1e6;          // in size, as runtime/arguments.py has it
const FRAME_RATES = [0.01, 1000];         // frames a second, as avatars/export/config.py has it

/** A value as a message shows it. */
function described(value) {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 40));
  if (typeof value === "function") return "a function";
  if (Array.isArray(value) || (ArrayBuffer.isView(value) && "length" in value)) return `an array of length ${value.length}`;
  return typeof value === "object" && value ? Object.prototype.toString.call(value) : String(value);
}

function refuse(name, value, expected) {
  throw new RangeError(`${name} is ${described(value)}, expected ${expected}`);
}

/** Whether a value is an object as {name: value} makes it, also one of another page, whose Object is not ours. */
function isPlain(value) {
  if (Object.prototype.toString.call(value) !== "[object Object]") return false;
  const kind = Object.getPrototypeOf(value);
  return kind === null || Object.getPrototypeOf(kind) === null;
}

function requireNumber(name, value, most = Number.MAX_VALUE) {
  const bound = most < Number.MAX_VALUE ? ` up to ${most}` : "";
  if (!Number.isFinite(value) || Math.abs(value) > most) refuse(name, value, `a finite number${bound}`);
}

function requireWithin(name, value, [least, most]) {
  if (!Number.isFinite(value) || value < least || value > most) refuse(name, value, `a number from ${least} to ${most}`);
}

function requireWhole(name, value, [least, most]) {
  if (!Number.isInteger(value) || value < least || value > most) refuse(name, value, `a whole number from ${least} to ${most}`);
}

function requireSwitch(name, value) {
  if (typeof value !== "boolean") refuse(name, value, "true or false");
}

/** The options of a call: those given, and the defaults of the others. */
function optionsOf(call, given, defaults) {
  const names = Object.keys(defaults).join(", "), found = { ...defaults };
  if (given !== undefined && !isPlain(given)) refuse(`what ${call} was given`, given, `an object with ${names}`);
  for (const [name, value] of Object.entries(given ?? {})) {
    if (!Object.hasOwn(defaults, name)) throw new RangeError(`${call} was given ${name}, expected only ${names}`);
    if (value !== undefined) found[name] = value;
  }
  return found;
}
