// Programs of the graphics card.

const SHAPES_A_PASS = 12;                 // WebGL2 has at least 16 attributes

const numbered = (count, one) => Array.from({ length: count }, (_, k) => one(k));

const MOVE_VERTICES = `#version 300 es
  in vec4 start;
  ${numbered(SHAPES_A_PASS, (k) => `in vec4 shape${k};`).join(" ")}
  uniform float share[${SHAPES_A_PASS}];
  out vec4 moved;
  void main() { moved = start${numbered(SHAPES_A_PASS, (k) => ` + share[${k}] * shape${k}`).join("")}; }`;

const NO_COLOUR = `#version 300 es
  precision mediump float;
  void main() {}`;

// The same positions, bit by bit, in the pass for depths and in that for colours.
const PROJECT = `#version 300 es
  precision highp float;
  in vec4 moved; in vec2 texel;
  uniform mat4 toClip; uniform vec2 textureSide, shade;  // the largest shade, and the unit of moved.w
  out vec3 point; out vec2 uv; out float factor;
  invariant gl_Position;
  void main() {
    point = moved.xyz;
    uv = (texel + 0.5) / textureSide;
    factor = exp(clamp(shade.y * moved.w, -shade.x, shade.x));
    gl_Position = toClip * vec4(point, 1.0);
  }`;

// Rays show what lies between their nearest and farthest point, and before the background's plane.
const LAYER_COLOUR = `#version 300 es
  precision highp float; precision highp sampler2DArray;
  in vec3 point; in vec2 uv; in float factor;
  uniform sampler2DArray colours, opacities;
  uniform float layer, plane; uniform vec2 range; uniform vec3 eye;
  out vec4 colour;
  void main() {
    float away = distance(point, eye);
    if (away < range.x || away > range.y || point.z < plane) discard;
    vec3 at = vec3(uv, layer);
    float opacity = texture(opacities, at).r;
    colour = vec4(min(factor * texture(colours, at).rgb, opacity), opacity);
  }`;

const WHOLE_SCREEN = `#version 300 es
  precision highp float;
  uniform vec3 right, up, ahead; uniform float slope;
  out vec3 ray;
  void main() {
    vec2 at = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0;
    ray = ahead + slope * (at.x * right + at.y * up);
    gl_Position = vec4(at, 0.0, 1.0);
  }`;

const BACKGROUND_COLOUR = `#version 300 es
  precision highp float;
  in vec3 ray;
  uniform sampler2D picture; uniform vec3 eye; uniform float plane, extent, side;
  out vec4 colour;
  void main() {
    vec2 at = (eye + (plane - eye.z) / ray.z * ray).xy / extent;
    vec2 texel = (vec2(at.x, -at.y) * 0.5 + 0.5) * (side - 1.0);
    colour = vec4(texture(picture, (texel + 0.5) / side).rgb, 1.0);
  }`;

/** A linked program with its attributes at the given places; `captured`: what transform feedback writes. */
function linkedProgram(gl, vertexSource, fragmentSource, attributes, captured) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertexSource], [gl.FRAGMENT_SHADER, fragmentSource]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost())
      throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(program, shader);
  }
  attributes.forEach((name, k) => gl.bindAttribLocation(program, k, name));
  if (captured) gl.transformFeedbackVaryings(program, captured, gl.INTERLEAVED_ATTRIBS);
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program));
  const at = {}, count = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS) ?? 0;
  for (let k = 0; k < count; k++) {
    const { name } = gl.getActiveUniform(program, k);
    at[name.replace("[0]", "")] = gl.getUniformLocation(program, name);
  }
  return { program, at };
}
