// What is drawn above the picture: the crosshair, the ring of the brush, the outline in progress, and strokes until the
// picture shows them.

import { BRUSHES } from "./tools.js";

const CROSSHAIR = "rgba(107, 236, 192, 0.6)";
const GAP = 18; // CSS pixels that stay free around the center
const LEAST_SHARE = 0.3; // of the color of a stroke
const DARK = "rgba(0, 0, 0, 0.7)"; // under each line, so that it shows on bright tissue too

export class Overlay {
  constructor(canvas, bench) {
    Object.assign(this, { canvas, bench });
    this.context = canvas.getContext("2d");
    this.paths = []; // of strokes, see Stroke
  }

  // The picture was drawn: it shows all strokes that have ended.
  framed() {
    const { at, outline, stroke } = this.bench.pointer;
    this.paths = stroke ? [stroke.path] : [];
    this.draw(at, outline);
  }

  draw(at, outline) {
    const { canvas, context } = this;
    const ratio = devicePixelRatio;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    if (!this.bench.work) return;
    this.crosshair();
    if (this.bench.viewer.frames.slow) this.paths.forEach((path) => this.painted(path));
    if (outline) this.corners(outline, at);
    const under = at && this.bench.viewer.under(...at);
    const brush = BRUSHES.has(this.bench.tool.name) && under && !under.render;
    canvas.dataset.cursor = brush ? "none" : under?.render ? "turn" : this.bench.tool.name;
    if (brush) this.ring(at, under.axis);
  }

  crosshair() {
    const { context } = this;
    const { viewer } = this.bench;
    context.strokeStyle = CROSSHAIR;
    context.lineWidth = 1;
    context.beginPath();
    for (const { axis, left, right, top, bottom } of viewer.planes()) {
      const [x, y] = viewer.screen(axis, viewer.voxel).map((value) => Math.round(value) + 0.5);
      if (x > left && x < right)
        stroke(context, [x, top], [x, Math.max(top, y - GAP)], [x, Math.min(bottom, y + GAP)], [x, bottom]);
      if (y > top && y < bottom)
        stroke(context, [left, y], [Math.max(left, x - GAP), y], [Math.min(right, x + GAP), y], [right, y]);
    }
    context.stroke();
  }

  // A stroke at once, where it takes the picture long to show it.
  painted({ axis, points, closed, tool }) {
    const { context, bench } = this;
    const path = new Path2D();
    let [pressed, last] = [false, null];
    for (const exact of points) {
      const point = exact && bench.viewer.screen(axis, exact); // null where the brush left the picture
      if (point) path[pressed ? "lineTo" : "moveTo"](...(last = point));
      pressed = Boolean(point);
    }
    if (last) path.lineTo(last[0] + 0.1, last[1]); // one point is a dot
    const width = Math.max(2, tool.size * bench.viewer.pixelsPerVoxel(axis));
    const color = tool.name === "eraser" ? "#ffffff" : bench.color(tool.label);
    context.save();
    Object.assign(context, { globalAlpha: Math.max(LEAST_SHARE, bench.viewer.share), lineWidth: width });
    Object.assign(context, { strokeStyle: color, fillStyle: color, lineCap: "round", lineJoin: "round" });
    closed ? context.fill(path) : context.stroke(path);
    context.restore();
  }

  ring([x, y], axis) {
    const radius = Math.max(2, (this.bench.tool.size / 2) * this.bench.viewer.pixelsPerVoxel(axis));
    const circle = new Path2D();
    circle.arc(x, y, radius, 0, 2 * Math.PI);
    circle.moveTo(x + 0.5, y);
    circle.arc(x, y, 0.5, 0, 2 * Math.PI);
    this.line(circle, this.bench.tool.name === "eraser" ? "#ffffff" : this.bench.color(this.bench.tool.label));
  }

  corners(outline, at) {
    const points = outline.exact.map((exact) => this.bench.viewer.screen(outline.plane.axis, exact)).filter(Boolean);
    const path = new Path2D();
    points.forEach(([x, y], number) => (number ? path.lineTo(x, y) : path.moveTo(x, y)));
    if (at) path.lineTo(...at);
    path.closePath();
    const color = this.bench.color(this.bench.tool.label);
    this.context.fillStyle = color + "33";
    this.context.fill(path);
    this.line(path, color);
    const first = new Path2D();
    first.arc(...points[0], 4, 0, 2 * Math.PI);
    this.line(first, color);
  }

  line(path, color) {
    for (const [width, style] of [
      [3.5, DARK],
      [1.6, color],
    ]) {
      this.context.lineWidth = width;
      this.context.strokeStyle = style;
      this.context.stroke(path);
    }
  }
}

// Two lines: between the first two and the last two points.
function stroke(context, ...points) {
  points.forEach((point, number) => (number % 2 ? context.lineTo(...point) : context.moveTo(...point)));
}
