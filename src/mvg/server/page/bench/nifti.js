// NIfTI files as the server sends them: little-endian, not compressed, in RAS order.

const DATA_TYPE = 70; // bytes into the header
const BITS = 72;
const OFFSET = 108;
const RGB = 128;
const RGBA = 2304;

const start = (buffer) => new DataView(buffer).getFloat32(OFFSET, true);

export const bytesOf = (buffer) => new Uint8Array(buffer, start(buffer));

export const floatsOf = (buffer) => new Float32Array(buffer, start(buffer));

// A color picture that is too large for a 3D texture becomes RGBA, for which NiiVue takes a larger, flat one.
export function forTexture(buffer, most) {
  const header = new DataView(buffer);
  const sides = [42, 44, 46].map((at) => header.getInt16(at, true));
  if (header.getInt16(DATA_TYPE, true) !== RGB || Math.max(...sides) <= most || sides[2] > 1) return buffer;
  const from = bytesOf(buffer);
  const result = new Uint8Array(start(buffer) + (from.length / 3) * 4);
  result.set(new Uint8Array(buffer, 0, start(buffer)));
  const to = result.subarray(start(buffer)).fill(255);
  for (let pixel = 0; pixel * 3 < from.length; pixel++) {
    for (let channel = 0; channel < 3; channel++) to[pixel * 4 + channel] = from[pixel * 3 + channel];
  }
  const view = new DataView(result.buffer);
  view.setInt16(DATA_TYPE, RGBA, true);
  view.setInt16(BITS, 32, true);
  return result.buffer;
}
