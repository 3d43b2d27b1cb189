// From names or coefficients to the weights of the blendshapes, as LayeredMesh.weights and ExpressionReader have it.

const LARGEST_WEIGHT = 1.5;               // of a blendshape, below 0 too: beyond it, faces break

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** What an avatar can do with its face. Coefficients are those of the face model that its generator learned. */
function expressionSpace(header, { raw }) {
  const { expressions, units, presets } = header, count = expressions.length;
  const ownCoefficients = raw("z_exp", Float32Array), toWeights = raw("to_weights", Float32Array);
  const unitCoefficients = raw("units_to_exp", Float32Array);   // a row for each unit
  const dimensions = header.coefficients;

  const unitsOf = (name) => [name, `${name}Left`, `${name}Right`].map((unit) => units.indexOf(unit)).filter((k) => k >= 0);

  function addRow(target, rows, index, strength) {
    for (let k = 0; k < dimensions; k++) target[k] += strength * rows[index * dimensions + k];
  }

  /** {name: strength} -> coefficients. A name is an expression of the avatar, a preset, or an action unit. */
  function coefficientsOf(strengths) {
    const out = new Float64Array(dimensions);
    for (const [name, strength] of Object.entries(strengths)) {
      requireNumber(name, strength, STRONGEST);
      const own = expressions.indexOf(name);
      if (own >= 0) { addRow(out, ownCoefficients, own, strength); continue; }
      for (const [unit, share] of Object.entries(Object.hasOwn(presets, name) ? presets[name] : { [name]: 1 })) {
        const sides = unitsOf(unit), known = () => [...new Set([...expressions, ...Object.keys(presets), ...units])].join(", ");
        if (!sides.length) throw new RangeError(`unknown expression ${name}; known are ${known()}`);
        for (const side of sides) addRow(out, unitCoefficients, side, strength * share);
      }
    }
    return out;
  }

  /** Nearest weights to coefficients, and the share of the coefficients' length that these weights, as drawn, miss. */
  function weightsOf(coefficients) {
    const weights = new Array(count).fill(0), rest = Float64Array.from(coefficients);
    for (let s = 0; s < count; s++) {
      for (let k = 0; k < dimensions; k++) weights[s] += coefficients[k] * toWeights[k * count + s];
      weights[s] = clamp(weights[s], -LARGEST_WEIGHT, LARGEST_WEIGHT);
      addRow(rest, ownCoefficients, s, -weights[s]);
    }
    const length = Math.hypot(...coefficients), missed = length ? Math.hypot(...rest) / length : 0;
    return { weights, missed };
  }

  /** The weights of {name: strength} or of coefficients; `what` names them in messages. */
  function weightsOfFrame(frame, what) {
    if (isPlain(frame)) return weightsOf(coefficientsOf(frame));
    const isRow = (Array.isArray(frame) || ArrayBuffer.isView(frame)) && frame.length === dimensions;
    if (!isRow) refuse(what, frame, `{name: strength} or ${dimensions} coefficients`);
    Array.from(frame).forEach((value, k) => requireNumber(`${what}[${k}]`, value, LARGEST_COEFFICIENT));
    return weightsOf(frame);
  }
  const makeable = units.filter((unit) => !expressions.includes(unit) && weightsOfFrame({ [unit]: 1 }).missed <= 0.1);
  return { weightsOfFrame, makeable };
}

/** Shares of the stored shapes, [index, share], for the weights: of positions (`moves`) and of texels (`slides`). */
function inbetweenShares(weights, inbetweens) {
  const moves = [], slides = [];
  weights.forEach((weight, s) => {
    const way = clamp(weight, 0, 1) * inbetweens, segment = Math.min(Math.floor(way), inbetweens - 1);
    for (let p = 0; p < inbetweens; p++) {
      const inside = p === segment ? way - segment : p === segment - 1 ? 1 - way + segment : 0;
      const outside = p === inbetweens - 1 ? weight : 0;  // extrapolated by the full expression
      const share = weight < 0 || weight > 1 ? outside : inside;
      if (share) moves.push([s * inbetweens + p, share]);
      if (inside) slides.push([s * inbetweens + p, inside]);
    }
  });
  return { moves, slides };
}
