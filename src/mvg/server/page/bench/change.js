// What a stroke changed in one slice, and how it is sent.

// The change between two versions of a slice, or null where they are equal:
// {axis, index, before, after}, `before` and `after` being the whole slice.
export function difference(plane, before, after) {
  const changed = before.some((label, position) => label !== after[position]);
  return changed ? { axis: plane.axis, index: plane.index, before, after } : null;
}

// The slice as it stands, every pixel given: [start, length, label] for each row of equal labels above 0.
export function wholeSlice(change) {
  const runs = runsOf(change.after, (position) => change.after[position] > 0);
  return { axis: change.axis, index: change.index, rest: "background", runs };
}

// The changed pixels alone; all others keep what is known of them.
export function strokeOnly(change, touched) {
  const given = (position) => touched[position] || change.after[position] !== change.before[position];
  return { axis: change.axis, index: change.index, rest: "unknown", runs: runsOf(change.after, given) };
}

function runsOf(slice, given) {
  const runs = [];
  let last = null;
  for (let position = 0; position < slice.length; position++) {
    if (!given(position)) last = null;
    else if (last && last[2] === slice[position]) last[1]++;
    else runs.push((last = [position, 1, slice[position]]));
  }
  return runs;
}

// The pixels of a slice from base64 of zlib.
export async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
