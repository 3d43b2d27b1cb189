// Unpacks what anifacegan/avatars/export/web_geometry.py packs.

function bytesOfBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = binary.charCodeAt(k);
  return bytes;
}

async function gunzipped(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Readers of the arrays in the unpacked bytes: `raw` as they lie there, `whole` for whole numbers in planes of bytes. */
function arraysIn(bytes, header) {
  const raw = (name, Kind) => new Kind(bytes.buffer, header.streams[name][0], header.streams[name][1]);
  function whole(name) {
    const [start, count, planes] = header.streams[name], out = new Int32Array(count);
    for (let plane = 0, at = start; plane < planes; plane++)
      for (let k = 0; k < count; k++) out[k] |= bytes[at++] << (8 * plane);
    for (let k = 0; k < count; k++) out[k] = (out[k] >>> 1) ^ -(out[k] & 1);  // 0, 1, 2, 3 were 0, -1, 1, -2
    return out;
  }
  return { raw, whole };
}

const bitOf = (bits, at) => bits[at >> 3] >> (at & 7) & 1;

/** Vertex at each place of the grids (layer, row, column), -1 where there is none, and the place of each vertex. */
function vertexPlaces(occupied, header) {
  const [layers, rows, columns] = header.grid, vertexAt = new Int32Array(layers * rows * columns).fill(-1);
  const place = new Int32Array(header.placed);
  for (let at = 0, v = 0; at < vertexAt.length; at++)
    if (bitOf(occupied, at)) { vertexAt[at] = v; place[v++] = at; }
  return { vertexAt, place };
}

/** Reader of one number a vertex: each is a guess from left, upper and upper left neighbour, and what is left of it. */
function fieldReader(header, whole, { vertexAt, place }) {
  const [, rows, columns] = header.grid, { placed, moving } = header;
  const left = new Int32Array(placed), upper = new Int32Array(placed), diagonal = new Int32Array(placed);
  for (let v = 0; v < placed; v++) {
    const at = place[v], inner = at % columns > 0, below = Math.floor(at / columns) % rows > 0;
    left[v] = inner ? vertexAt[at - 1] : -1;
    upper[v] = below ? vertexAt[at - columns] : -1;
    diagonal[v] = inner && below ? vertexAt[at - columns - 1] : -1;
  }
  const nearest = whole("nearest");
  for (let k = 1; k < nearest.length; k++) nearest[k] += nearest[k - 1];
  function field(name) {
    const rest = whole(name), out = new Int32Array(placed + moving);
    for (let v = 0; v < placed; v++) {
      const a = left[v], b = upper[v], c = diagonal[v];
      let guess = 0;
      if (a >= 0) guess = b >= 0 && c >= 0 ? out[a] + out[b] - out[c] : out[a];
      else if (b >= 0) guess = out[b];
      out[v] = rest[v] + guess;
    }
    for (let k = 0; k < moving; k++) out[placed + k] = rest[placed + k] + out[nearest[k]];
    return out;
  }
  return { field, nearest };
}

/** Texture coordinates with a neutral face: of the grid's places, then of the corners of triangles over an opening. */
function neutralTexels(header, { raw, whole }, place, nearest) {
  const [, rows, columns] = header.grid, { placed, moving, texelStep } = header;
  const column = raw("columns", Float32Array), row = raw("rows", Float32Array), own = whole("own_texels");
  const texels = new Float32Array(2 * (placed + moving));
  for (let v = 0; v < placed; v++) {
    texels[2 * v] = column[place[v] % columns];
    texels[2 * v + 1] = row[Math.floor(place[v] / columns) % rows];
  }
  for (let k = 0; k < moving; k++)
    for (let axis = 0; axis < 2; axis++)
      texels[2 * (placed + k) + axis] = texels[2 * nearest[k] + axis] + texelStep * own[axis * moving + k];
  return texels;
}

/** Vertex indices, layer by layer from the outermost, and where each layer starts. */
function layerTriangles(header, { raw }, vertexAt) {
  const [layers, rows, columns] = header.grid, cells = layers * rows * columns;
  const halves = raw("cells", Uint8Array), own = raw("own_triangles", Uint32Array), starts = [0];
  const indices = new Uint32Array(6 * cells + header.moving);
  let count = 0, corner = header.placed;
  for (let layer = 0; layer < layers; layer++) {
    for (let at = layer * rows * columns; at < (layer + 1) * rows * columns; at++) {
      const lower = bitOf(halves, at), higher = bitOf(halves, cells + at);
      if (!lower && !higher) continue;
      const a = vertexAt[at], b = vertexAt[at + 1], c = vertexAt[at + columns], d = vertexAt[at + columns + 1];
      if (lower) { indices[count++] = a; indices[count++] = b; indices[count++] = c; }
      if (higher) { indices[count++] = d; indices[count++] = c; indices[count++] = b; }
    }
    for (let k = 0; k < 3 * own[layer]; k++) indices[count++] = corner++;
    starts.push(count);
  }
  return { indices: indices.slice(0, count), starts };
}

/** Triangles, texture coordinates, and the reader of numbers, of a mesh on rows and columns. */
function gridMesh(header, arrays) {
  const places = vertexPlaces(arrays.raw("occupied", Uint8Array), header);
  const { field, nearest } = fieldReader(header, arrays.whole, places);
  const texels = neutralTexels(header, arrays, places.place, nearest);
  return { field, texels, ...layerTriangles(header, arrays, places.vertexAt) };
}

/** The same of any other mesh: a number is guessed as the mean over the edges to vertices of smaller number. */
function linkedMesh(header, { raw, whole }) {
  const vertices = header.placed + header.moving, indices = Uint32Array.from(whole("indices"));
  for (let k = 1; k < indices.length; k++) indices[k] += indices[k - 1];
  const first = new Uint32Array(vertices + 1), edges = [];
  for (let k = 0; k < indices.length; k += 3)
    for (const [a, b] of [[k, k + 1], [k + 1, k + 2], [k + 2, k]]) {
      const low = Math.min(indices[a], indices[b]), high = Math.max(indices[a], indices[b]);
      edges.push(high, low);
      first[high + 1]++;
    }
  for (let v = 0; v < vertices; v++) first[v + 1] += first[v];
  const neighbours = new Uint32Array(edges.length / 2), next = first.slice();
  for (let k = 0; k < edges.length; k += 2) neighbours[next[edges[k]]++] = edges[k + 1];
  function field(name) {
    const rest = whole(name), out = new Int32Array(vertices);
    for (let v = 0; v < vertices; v++) {
      const count = first[v + 1] - first[v];
      let total = 0;
      for (let k = first[v]; k < first[v + 1]; k++) total += out[neighbours[k]];
      out[v] = rest[v] + (count ? Math.floor((2 * total + count) / (2 * count)) : 0);
    }
    return out;
  }
  const texels = new Float32Array(2 * vertices);
  for (let axis = 0; axis < 2; axis++) field(`texel.${axis}`).forEach((x, v) => { texels[2 * v + axis] = header.texelStep * x; });
  return { field, texels, indices, starts: Array.from(raw("index_starts", Uint32Array)) };
}

/** What the graphics card needs of the mesh. `shape(k)` unpacks one with four numbers a vertex: x, y, z and shade. */
function unpackedMesh(header, arrays) {
  const { field, texels, indices, starts } = (header.streams.indices ? linkedMesh : gridMesh)(header, arrays);
  const vertices = header.placed + header.moving, neutral = new Float32Array(4 * vertices);
  for (let axis = 0; axis < 3; axis++) {
    const found = field(`neutral.${axis}`);
    for (let v = 0; v < vertices; v++) neutral[4 * v + axis] = header.neutral[0] + header.neutral[1] * found[v];
  }
  function shape(k) {
    const out = new Int16Array(4 * vertices), p = k % header.inbetweens;
    for (let axis = 0; axis < (header.shadeStep ? 4 : 3); axis++) {
      const found = field(`shape.${(k - p) / header.inbetweens}.${p}.${axis < 3 ? axis : "shade"}`);
      for (let v = 0, at = axis; v < vertices; v++, at += 4) out[at] = found[v];
    }
    return out;
  }
  return { vertices, neutral, shape, texels, indices, starts, texelOffsets: arrays.whole("texel_offsets") };
}
