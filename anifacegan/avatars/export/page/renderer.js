// Draws a layered mesh: layers from the innermost to the outermost, each in its own slice of the depth buffer. First
// only depths, then colours where the depth is the nearest: a ray sees the nearest point of a layer, and only that.

const NEUTRAL = 2;                        // the place of the neutral vertices among the vertex arrays
const MOST_PIXELS = 8192;                 // largest side of an image, as rendering/frame.py has it

/** Camera on the unit sphere that looks at the origin, as geometry/cameras.py has it; zoom narrows the field of view. */
function cameraOf({ yaw, pitch, zoom }, size, sampling) {
  const eye = [-Math.cos(pitch) * Math.sin(yaw), Math.sin(pitch), Math.cos(pitch) * Math.cos(yaw)];
  const length = Math.hypot(eye[0], eye[2]), right = [eye[2] / length, 0, -eye[0] / length];
  const up = [eye[1] * right[2] - eye[2] * right[1], eye[2] * right[0] - eye[0] * right[2],
    eye[0] * right[1] - eye[1] * right[0]];
  // The centres of the outermost pixels are on the edge of the field of view.
  const focal = zoom * (size - 1) / size / Math.tan(sampling.fov * Math.PI / 360);
  const near = 0.5 * sampling.near, far = 1.5 * sampling.far, z = -(far + near) / (far - near);
  const rows = [right.map((x) => focal * x), up.map((x) => focal * x), eye.map((x) => z * x), eye.map((x) => -x)];
  const shift = [0, 0, -z - 2 * far * near / (far - near), 1], toClip = new Float32Array(16);
  rows.forEach((row, k) => { row.forEach((x, axis) => { toClip[4 * axis + k] = x; }); toClip[12 + k] = shift[k]; });
  return { eye, right, up, ahead: eye.map((x) => -x), slope: 1 / focal, toClip };
}

/** Copies the mesh to the graphics card. */
function uploadedMesh(gl, mesh) {
  const buffer = (data, use = gl.STATIC_DRAW, kind = gl.ARRAY_BUFFER) => {
    const made = gl.createBuffer();
    gl.bindBuffer(kind, made);
    gl.bufferData(kind, data, use);
    return made;
  };
  const moved = [0, 1].map(() => buffer(16 * mesh.vertices, gl.DYNAMIC_COPY));
  const neutral = buffer(mesh.neutral), shapes = [];
  const shape = (k) => shapes[k] ??= buffer(mesh.shape(k));  // the first frame needs none
  const texels = buffer(mesh.texels, gl.DYNAMIC_DRAW);
  const arrays = [...moved, neutral].map((positions) => {
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    for (const [place, from, size] of [[0, positions, 4], [1, texels, 2]]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, from);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, gl.FLOAT, false, 0, 0);
    }
    return array;
  });
  gl.bindVertexArray(arrays[0]);
  const indices = buffer(mesh.indices, gl.STATIC_DRAW, gl.ELEMENT_ARRAY_BUFFER);
  for (const array of arrays) {
    gl.bindVertexArray(array);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, indices);
  }
  gl.bindVertexArray(null);
  return { moved, neutral, shape, texels, arrays };
}

/**
 * Copies the pictures to the graphics card: colours to unit 0, opacities to unit 1, the background to unit 2. Layers
 * without triangles have none; the others lie one after another.
 */
function uploadPictures(gl, pictures, layers, [width, height]) {
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  const bind = (unit, kind) => {
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(kind, gl.createTexture());
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(kind, name, gl.CLAMP_TO_EDGE);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(kind, name, gl.LINEAR);
  };
  [[gl.RGB8, gl.RGB], [gl.R8, gl.RED]].forEach(([inner, format], unit) => {
    bind(unit, gl.TEXTURE_2D_ARRAY);
    const shown = pictures.slice(unit * layers, (unit + 1) * layers).filter(Boolean);
    gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, inner, width, height, Math.max(1, shown.length));
    shown.forEach((picture, k) =>
      gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, k, width, height, 1, format, gl.UNSIGNED_BYTE, picture));
  });
  bind(2, gl.TEXTURE_2D);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, gl.RGB, gl.UNSIGNED_BYTE, pictures[2 * layers]);
  const side = pictures[2 * layers].width;
  pictures.forEach((picture) => picture?.close());
  return side;
}

/** A framebuffer of its own, with `samples` a pixel (0: one); an Error where the graphics card has no room for it. */
function framebufferOf(gl, size, samples) {
  const framebuffer = gl.createFramebuffer(), parts = [];
  gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
  for (const [format, place] of [[gl.RGBA8, gl.COLOR_ATTACHMENT0], [gl.DEPTH_COMPONENT24, gl.DEPTH_ATTACHMENT]]) {
    const part = gl.createRenderbuffer();
    gl.bindRenderbuffer(gl.RENDERBUFFER, part);
    gl.renderbufferStorageMultisample(gl.RENDERBUFFER, samples, format, size, size);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, place, gl.RENDERBUFFER, part);
    parts.push(part);
  }
  const remove = () => { gl.deleteFramebuffer(framebuffer); parts.forEach((part) => gl.deleteRenderbuffer(part)); };
  if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE && !gl.isContextLost()) {
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    remove();
    throw new Error(`the graphics card has no room for ${size} x ${size} pixels`);
  }
  return { framebuffer, size, samples, remove };
}

function makeRenderer(gl, header, mesh, pictures) {
  const layers = header.grid[0], { sampling } = header;
  let slice = 0;
  const slices = pictures.slice(0, layers).map((picture) => picture ? slice++ : null);
  const depth = linkedProgram(gl, PROJECT, NO_COLOUR, ["moved", "texel"]);
  const layerColour = linkedProgram(gl, PROJECT, LAYER_COLOUR, ["moved", "texel"]);
  const background = linkedProgram(gl, WHOLE_SCREEN, BACKGROUND_COLOUR, []);
  const card = uploadedMesh(gl, mesh), side = uploadPictures(gl, pictures, layers, header.texture);
  const { vertices, starts, texelOffsets } = mesh, restingTexels = mesh.texels.slice(2 * header.placed);
  const moving = gl.createVertexArray(), feedback = gl.createTransformFeedback();
  const mostSamples = Math.min(4, gl.getParameter(gl.MAX_SAMPLES) ?? 0);
  const largest = Math.min(MOST_PIXELS, gl.getParameter(gl.MAX_RENDERBUFFER_SIZE), ...gl.getParameter(gl.MAX_VIEWPORT_DIMS));

  gl.useProgram(layerColour.program);
  gl.uniform1i(layerColour.at.opacities, 1);
  gl.uniform2f(layerColour.at.range, sampling.near, sampling.far);
  gl.uniform1f(layerColour.at.plane, sampling.plane);
  gl.uniform2f(layerColour.at.textureSide, ...header.texture);
  gl.uniform2f(layerColour.at.shade, header.largestShade, (header.shadeStep ?? 0) / header.step);
  gl.useProgram(background.program);
  gl.uniform1i(background.at.picture, 2);
  gl.uniform1f(background.at.plane, sampling.plane);
  gl.uniform1f(background.at.extent, header.backgroundReach);
  gl.uniform1f(background.at.side, side);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);

  let move = null;                        // the first frame needs it not
  const moveProgram = () =>
    move ??= linkedProgram(gl, MOVE_VERTICES, NO_COLOUR, ["start", ...numbered(SHAPES_A_PASS, (k) => `shape${k}`)], ["moved"]);

  let current = NEUTRAL;
  function movePass(from, some) {
    const share = new Float32Array(SHAPES_A_PASS);
    gl.bindBuffer(gl.ARRAY_BUFFER, from);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 4, gl.FLOAT, false, 0, 0);
    for (let k = 0; k < SHAPES_A_PASS; k++) {
      if (k >= some.length) { gl.disableVertexAttribArray(k + 1); continue; }
      share[k] = some[k][1] * header.step;
      gl.bindBuffer(gl.ARRAY_BUFFER, card.shape(some[k][0]));
      gl.enableVertexAttribArray(k + 1);
      gl.vertexAttribPointer(k + 1, 4, gl.SHORT, false, 8, 0);
    }
    gl.uniform1fv(move.at.share, share);
    gl.bindBuffer(gl.ARRAY_BUFFER, null);
    gl.bindTransformFeedback(gl.TRANSFORM_FEEDBACK, feedback);
    gl.bindBufferBase(gl.TRANSFORM_FEEDBACK_BUFFER, 0, card.moved[current]);
    gl.beginTransformFeedback(gl.POINTS);
    gl.drawArrays(gl.POINTS, 0, vertices);
    gl.endTransformFeedback();
    gl.bindBufferBase(gl.TRANSFORM_FEEDBACK_BUFFER, 0, null);
    gl.bindTransformFeedback(gl.TRANSFORM_FEEDBACK, null);
  }

  /** Moves the vertices to an expression; they stay there until the next call. */
  function pose(weights) {
    const { moves, slides } = inbetweenShares(weights, header.inbetweens);
    if (moves.length) {
      gl.useProgram(moveProgram().program);
      gl.enable(gl.RASTERIZER_DISCARD);
      gl.bindVertexArray(moving);
      let from = card.neutral;
      for (let first = 0; first < moves.length; first += SHAPES_A_PASS) {
        current = current === 0 ? 1 : 0;
        movePass(from, moves.slice(first, first + SHAPES_A_PASS));
        from = card.moved[current];
      }
      gl.disable(gl.RASTERIZER_DISCARD);
      gl.bindVertexArray(null);
    } else current = NEUTRAL;
    const texels = restingTexels.slice();  // of triangles over an opening: few, so they are added here
    for (const [index, share] of slides)
      for (let k = 0; k < texels.length; k++) texels[k] += share * header.texelStep * texelOffsets[index * texels.length + k];
    gl.bindBuffer(gl.ARRAY_BUFFER, card.texels);
    gl.bufferSubData(gl.ARRAY_BUFFER, 8 * header.placed, texels);
  }

  function drawLayers(camera, depths) {
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.BLEND);
    gl.enable(gl.CULL_FACE);
    gl.bindVertexArray(card.arrays[current]);
    for (const { program, at } of depths ? [depth, layerColour] : [layerColour]) {
      gl.useProgram(program);
      gl.uniformMatrix4fv(at.toClip, false, camera.toClip);
    }
    gl.uniform3fv(layerColour.at.eye, camera.eye);
    for (let layer = layers - 1; layer >= 0; layer--) {
      const count = starts[layer + 1] - starts[layer], start = 4 * starts[layer];
      if (!count) continue;
      gl.depthRange(layer / layers, (layer + 1) / layers);
      gl.depthMask(true);
      gl.depthFunc(gl.LESS);
      if (depths) {
        gl.useProgram(depth.program);
        gl.colorMask(false, false, false, false);
        gl.drawElements(gl.TRIANGLES, count, gl.UNSIGNED_INT, start);
        gl.colorMask(true, true, true, true);
        gl.depthMask(false);
        gl.depthFunc(gl.EQUAL);
        gl.useProgram(layerColour.program);
      }
      gl.uniform1f(layerColour.at.layer, slices[layer]);
      gl.drawElements(gl.TRIANGLES, count, gl.UNSIGNED_INT, start);
    }
    gl.depthRange(0, 1);
    gl.depthMask(true);
    gl.disable(gl.CULL_FACE);
    gl.disable(gl.BLEND);
    gl.disable(gl.DEPTH_TEST);
  }

  function drawInto(framebuffer, view, size, depths) {
    const camera = cameraOf(view, size, sampling);
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    gl.viewport(0, 0, size, size);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    gl.bindVertexArray(null);
    gl.useProgram(background.program);
    for (const name of ["right", "up", "ahead", "eye"]) gl.uniform3fv(background.at[name], camera[name]);
    gl.uniform1f(background.at.slope, camera.slope);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    drawLayers(camera, depths);
  }

  let smooth = null;                      // several samples a pixel, of the last size asked for
  /** Draws a view into a framebuffer (null: the canvas). */
  function draw(view, size, { antialias, depths }, target = null) {
    if (!antialias || mostSamples < 2) return drawInto(target, view, size, depths);
    if (smooth?.size !== size) { smooth?.remove(); smooth = framebufferOf(gl, size, mostSamples); }
    drawInto(smooth.framebuffer, view, size, depths);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, target);
    gl.blitFramebuffer(0, 0, size, size, 0, 0, size, size, gl.COLOR_BUFFER_BIT, gl.NEAREST);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  /** The pixels of a view, RGBA, from the top. */
  function pixels(view, size, quality) {
    const image = new ImageData(size, size), ofCanvas = smooth, { data } = image;
    let own = null;
    smooth = null;                        // the canvas keeps its own
    for (let k = 0; k < 8 && gl.getError(); k++);  // those of others, one of each kind
    try {
      own = framebufferOf(gl, size, 0);
      draw(view, size, quality, own.framebuffer);
      gl.bindFramebuffer(gl.FRAMEBUFFER, own.framebuffer);
      gl.readPixels(0, 0, size, size, gl.RGBA, gl.UNSIGNED_BYTE, data);
      const error = gl.getError();
      if (gl.isContextLost()) throw new Error("the graphics card was taken away");
      if (error) throw new Error(`the graphics card reports error ${error}`);
    } finally {
      gl.bindFramebuffer(gl.FRAMEBUFFER, null);
      own?.remove();
      smooth?.remove();
      smooth = ofCanvas;
    }
    for (let top = 0, bottom = size - 1; top < bottom; top++, bottom--) {  // it came from below
      const row = data.slice(4 * size * top, 4 * size * (top + 1));
      data.copyWithin(4 * size * top, 4 * size * bottom, 4 * size * (bottom + 1));
      data.set(row, 4 * size * bottom);
    }
    return image;
  }
  return { pose, draw, pixels, largest, prepare: card.shape, triangles: mesh.indices.length / 3 };
}
