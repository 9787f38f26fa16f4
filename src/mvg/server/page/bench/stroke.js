// One stroke in one slice, from the first touch to its end.

import { brush, polygon, region } from "./shapes.js";

const JOIN = 8; // CSS pixels between a corner and the first one that close an outline

export class Stroke {
  constructor(work, plane, tool) {
    Object.assign(this, { work, plane, tool });
    this.before = plane.read(work.viewer.labels);
    this.touched = new Uint8Array(plane.size);
    this.label = tool.name === "eraser" ? 0 : tool.label;
    const [first, second] = plane.axes;
    this.aspect = work.viewer.spacing[second] / work.viewer.spacing[first];
    this.path = { axis: plane.axis, points: [], closed: false, tool: { ...tool } };
    work.viewer.frames.hold();
    work.begin();
  }

  paint = (position) => {
    if (this.touched[position]) return;
    this.touched[position] = 1;
    this.work.viewer.labels[this.plane.at(position)] = this.label;
  };

  // The brush goes to `exact`, a point in voxels.
  brushTo(exact) {
    const to = this.plane.pixel(exact);
    brush(this.plane, this.last ?? to, to, this.tool.size, this.aspect, this.paint);
    this.last = to;
    this.path.points.push(exact);
    this.work.viewer.refresh(this.plane);
  }

  // The brush leaves the picture.
  lift() {
    this.last = null;
    this.path.points.push(null);
  }

  fillAt(voxel) {
    const [u, v] = this.plane.pixel(voxel);
    region(this.plane, this.before, u + v * this.plane.width, this.paint);
    this.work.viewer.refresh(this.plane);
  }

  fillOutline({ corners, exact }) {
    polygon(this.plane, corners, this.paint);
    Object.assign(this.path, { points: exact, closed: true });
    this.work.viewer.refresh(this.plane);
  }

  // `whole`: the slice is now right as it stands. Other planes than the predicted one only take strokes, since a whole
  // slice across the others would declare background that nobody looked at.
  end() {
    const whole = this.tool.name !== "smart" && this.plane.axis === this.work.session.plane;
    this.work.stroke(this.plane, this.before, this.touched, whole);
    this.work.end();
    this.work.viewer.frames.release();
  }
}

// The corners of an outline that is being drawn: clicked one by one, or drawn freehand.
export class Outline {
  constructor(plane, exact) {
    this.plane = plane;
    this.corners = [plane.pixel(exact)];
    this.exact = [exact];
  }

  add(exact) {
    this.corners.push(this.plane.pixel(exact));
    this.exact.push(exact);
  }

  // Whether a click there closes the outline.
  closes(point, first) {
    return this.corners.length > 2 && first && Math.hypot(point[0] - first[0], point[1] - first[1]) < JOIN;
  }
}
