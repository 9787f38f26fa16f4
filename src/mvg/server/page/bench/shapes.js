// Shapes in the pixels of one slice. Each function hands the positions that it covers to `paint`.

// A round brush moved along a straight line. `size` is its diameter in pixels; `aspect` the height of a pixel over its
// width, so that the brush is round in millimetres.
export function brush(plane, from, to, size, aspect, paint) {
  const steps = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1])));
  for (let step = 0; step <= steps; step++) {
    const share = step / steps;
    disk(plane, [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share], size, aspect, paint);
  }
}

function disk(plane, center, size, aspect, paint) {
  const [x, y] = size % 2 ? center.map(Math.round) : center.map((value) => Math.floor(value) + 0.5);
  const radius = size / 2;
  const rows = radius / aspect;
  for (let v = Math.max(0, Math.ceil(y - rows)); v <= Math.min(plane.height - 1, y + rows); v++) {
    for (let u = Math.max(0, Math.ceil(x - radius)); u <= Math.min(plane.width - 1, x + radius); u++) {
      if ((u - x) ** 2 + ((v - y) * aspect) ** 2 <= radius ** 2) paint(u + v * plane.width);
    }
  }
  // A brush smaller than a pixel still paints the pixel that it is on.
  const u = Math.round(center[0]);
  const v = Math.round(center[1]);
  if (u >= 0 && v >= 0 && u < plane.width && v < plane.height) paint(u + v * plane.width);
}

// The inside of a polygon (even-odd rule), by pixel centers.
export function polygon(plane, corners, paint) {
  const rows = corners.map((corner) => corner[1]);
  const top = Math.max(0, Math.ceil(Math.min(...rows)));
  const bottom = Math.min(plane.height - 1, Math.floor(Math.max(...rows)));
  for (let v = top; v <= bottom; v++) {
    const crossings = [];
    corners.forEach(([u1, v1], number) => {
      const [u2, v2] = corners[(number + 1) % corners.length];
      if (v1 <= v !== v2 <= v) crossings.push(u1 + ((v - v1) / (v2 - v1)) * (u2 - u1));
    });
    crossings.sort((one, other) => one - other);
    for (let pair = 0; pair + 1 < crossings.length; pair += 2) {
      const end = Math.min(plane.width - 1, Math.floor(crossings[pair + 1]));
      for (let u = Math.max(0, Math.ceil(crossings[pair])); u <= end; u++) paint(u + v * plane.width);
    }
  }
}

// The connected region of equal labels around a pixel. `slice` holds the labels of the plane.
export function region(plane, slice, start, paint) {
  const label = slice[start];
  const visited = new Uint8Array(plane.size);
  const open = [start];
  visited[start] = 1;
  while (open.length) {
    const position = open.pop();
    paint(position);
    const u = position % plane.width;
    const beside = [u > 0 ? position - 1 : -1, u < plane.width - 1 ? position + 1 : -1];
    for (const next of [...beside, position - plane.width, position + plane.width]) {
      if (next >= 0 && next < plane.size && !visited[next] && slice[next] === label) {
        visited[next] = 1;
        open.push(next);
      }
    }
  }
}
