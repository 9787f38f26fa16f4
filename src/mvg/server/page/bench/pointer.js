// Mouse, pen and touch on the picture. The overlay lies above NiiVue's canvas and receives everything.

import { BRUSHES } from "./tools.js";
import { Plane } from "./plane.js";
import { Outline, Stroke } from "./stroke.js";

const TURN = 0.5; // degrees for each pixel
const ZOOM = 1.0015; // for each unit of the wheel
const FREEHAND = 4; // CSS pixels between two corners of an outline that is drawn freehand

export class Pointer {
  // bench: {work, viewer, tool, overlay, moved(), windowBy(dx, dy), painted()}
  constructor(bench, element) {
    Object.assign(this, { bench, element, stroke: null, outline: null, drag: null, space: false });
    const listen = (name, handle, options) => element.addEventListener(name, handle.bind(this), options);
    listen("pointerdown", this.down);
    listen("pointermove", this.move);
    listen("pointerup", this.up);
    listen("pointercancel", this.up);
    listen("pointerleave", () => this.hover(null));
    listen("wheel", this.wheel, { passive: false });
    listen("dblclick", () => this.close());
    listen("contextmenu", (event) => event.preventDefault());
  }

  get viewer() {
    return this.bench.viewer;
  }

  point(event) {
    const box = this.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (!this.bench.work) return;
    this.element.focus({ preventScroll: true });
    const at = this.point(event);
    const under = this.viewer.under(...at);
    if (!under) return;
    this.element.setPointerCapture(event.pointerId);
    const tool = this.bench.tool;
    if (under.render) this.drag = { kind: "turn", at };
    else if (event.button === 2) this.drag = { kind: "window", at };
    else if (event.button === 1 || this.space) this.drag = { kind: "pan", at, under };
    else if (tool.name === "move" || event.altKey) this.steer(under);
    else if (this.bench.locked()) return;
    else if (tool.name === "outline") this.corner(at, under);
    else this.startStroke(under, tool);
    this.hover(at);
    event.preventDefault();
  }

  steer(under) {
    this.drag = { kind: "steer", axis: under.axis };
    this.bench.moveTo(under.voxel);
  }

  startStroke(under, tool) {
    this.follow(under);
    this.begin(this.planeOf(under), tool);
    if (BRUSHES.has(tool.name)) this.stroke.brushTo(under.exact);
    else {
      this.stroke.fillAt(under.voxel);
      this.finish();
    }
  }

  begin(plane, tool) {
    this.stroke = new Stroke(this.bench.work, plane, tool);
    this.bench.overlay.paths.push(this.stroke.path);
  }

  // Painting in a plane leaves its slice where it is; the crosshair stays too, so that the other planes do not jump.
  follow(under) {
    if (under.axis !== this.bench.axis) this.bench.setAxis(under.axis);
  }

  planeOf(under) {
    return new Plane(this.viewer.dims, under.axis, this.viewer.voxel[under.axis]);
  }

  corner(at, under) {
    this.follow(under);
    if (!this.outline) this.outline = new Outline(this.planeOf(under), under.exact);
    else if (this.outline.plane.axis !== under.axis) return;
    else if (this.outline.closes(at, this.screen(this.outline.exact[0]))) return this.close();
    else this.outline.add(under.exact);
    this.drag = { kind: "outline", at };
    this.hover(at);
  }

  screen(exact) {
    return this.viewer.screen(this.outline.plane.axis, exact);
  }

  move(event) {
    if (!this.bench.work) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) this.step(this.point(one));
    this.hover(this.point(event));
  }

  step(at) {
    const under = this.viewer.under(...at);
    if (this.stroke) {
      if (under?.axis === this.stroke.plane.axis) this.stroke.brushTo(under.exact);
      else this.stroke.lift();
    } else if (this.drag) this.dragTo(at, under);
  }

  dragTo(at, under) {
    const [dx, dy] = [at[0] - this.drag.at?.[0], at[1] - this.drag.at?.[1]];
    if (this.drag.kind === "turn") this.viewer.turnBy(dx * TURN, dy * TURN);
    if (this.drag.kind === "window") this.bench.windowBy(dx, dy);
    if (this.drag.kind === "steer" && under?.axis === this.drag.axis) this.bench.moveTo(under.voxel);
    if (this.drag.kind === "pan" && under?.axis === this.drag.under.axis) {
      this.viewer.panBy(
        under.exact.map((value, axis) => (value - this.drag.under.exact[axis]) * this.viewer.spacing[axis]),
      );
      return;
    }
    if (this.drag.kind === "outline") {
      if (Math.hypot(dx, dy) < FREEHAND || under?.axis !== this.outline?.plane.axis) return;
      this.outline.add(under.exact);
      this.drag.freehand = true;
    }
    this.drag.at = at;
  }

  up() {
    const freehand = this.drag?.kind === "outline" && this.drag.freehand;
    this.drag = null;
    if (this.stroke) this.finish();
    if (freehand) this.close();
  }

  finish() {
    const stroke = this.stroke;
    this.stroke = null;
    stroke.end();
    this.bench.painted(stroke.tool.name);
  }

  // Closes the outline and fills it.
  close() {
    const outline = this.outline;
    this.outline = null;
    this.drag = null;
    if (outline && outline.corners.length > 2) {
      this.begin(outline.plane, this.bench.tool);
      this.stroke.fillOutline(outline);
      this.finish();
    }
    this.hover(null);
  }

  // Gives up the outline that is being drawn; false where there is none.
  cancel() {
    const had = this.outline !== null;
    this.outline = null;
    this.drag = null;
    this.hover(null);
    return had;
  }

  hover(at) {
    this.at = at;
    this.bench.overlay.draw(at, this.outline);
    if (at) this.bench.hovered(this.viewer.under(...at));
  }

  wheel(event) {
    if (!this.bench.work) return;
    event.preventDefault();
    const amount = event.deltaY || event.deltaX;
    const under = this.viewer.under(...this.point(event));
    if (!under || !amount) return;
    if (event.shiftKey || event.altKey) this.bench.tool.grow(amount < 0 ? 1 : -1);
    else if (event.ctrlKey || event.metaKey) this.viewer.zoomBy(ZOOM ** -amount, under.exact ?? this.viewer.voxel);
    else if (!under.render && !this.stroke && !this.outline) this.bench.scroll(under.axis, amount > 0 ? -1 : 1);
    this.hover(this.point(event));
  }
}
