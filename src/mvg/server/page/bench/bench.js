// The bench: what each tool, key and button does to the open study.

import { notify } from "../notices.js";
import { emit, kindOf } from "../state.js";
import { Display } from "./display.js";
import { actionOf, writing } from "./keys.js";
import { BenchLayout } from "./layout.js";
import { Overlay } from "./overlay.js";
import { LabelPanel } from "./panel.js";
import { PLANES } from "./plane.js";
import { Pointer } from "./pointer.js";
import * as review from "./review.js";
import { Strip } from "./strip.js";
import { Stroke } from "./stroke.js";
import { ToolState } from "./tools.js";
import { Viewer } from "./viewer.js";
import { Work } from "./work.js";

const VOID = [{ value: 1, name: "void to fill", color: "#f0dc5a" }];

export class Bench {
  constructor() {
    this.work = null;
    this.tool = new ToolState(() => this.toolChanged());
    this.panel = new LabelPanel(this);
    this.display = new Display(this);
    this.layout = new BenchLayout(this);
    this.element = this.layout.element;
  }

  // The canvas must be on the page before NiiVue measures it.
  mount() {
    this.viewer = new Viewer(this.layout.picture);
    this.overlay = new Overlay(this.layout.overlay, this);
    this.pointer = new Pointer(this, this.layout.overlay);
    this.viewer.onframe = () => this.overlay.framed();
    this.strip = new Strip(this.layout.strip, this);
    this.layout.picture.addEventListener("webglcontextlost", () => this.layout.lost());
  }

  async open(task, study) {
    this.task = task;
    this.layout.loading("Opening the study …");
    this.work = null;
    this.axis = 2;
    const opening = (this.opening = Symbol("study"));
    const events = {
      wanted: () => opening === this.opening,
      changed: (plane) => this.changed(plane),
      saving: (saving, message) => this.layout.saving(saving, message),
      progress: (data) => this.layout.progress(data),
    };
    this.kind = kindOf(task);
    this.pictures = this.kind.target_type !== "labels";
    this.labels = this.pictures ? VOID : task.labels;
    this.panel.hidden.clear();
    this.paintColors();
    this.display.paint();
    const work = await Work.open(this.viewer, task, study, events);
    if (!work || !events.wanted()) return work?.close(); // another study was opened meanwhile
    this.work = work;
    this.axis = this.viewer.main = work.session.plane;
    this.flat = this.viewer.dims.includes(1);
    this.tool.set({ label: Math.min(this.tool.label, this.labels.length), size: this.viewer.dims[0] > 400 ? 15 : 9 });
    this.display.open(work.study);
    this.panel.open();
    // Nothing can be painted in 3D: another study begins in its own plane.
    const layout = this.viewer.layout === "render" ? PLANES[this.axis] : this.viewer.layout;
    this.arrange(this.flat ? PLANES[this.viewer.dims.indexOf(1)] : layout);
    this.layout.opened();
    this.changed(null);
    emit("opened", work);
  }

  close() {
    this.opening = null;
    this.work?.close();
    this.work = null;
    this.viewer.close();
  }

  // Keys; true where one was used.
  key(event) {
    if (!this.work || writing(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key === " ") return this.space(event, true);
    const action = actionOf(event);
    if (!action || (event.key === "Enter" && event.target.matches("button, a"))) return;
    event.preventDefault();
    this[action[0]](...action.slice(1));
  }

  space(event, pressed) {
    if (event.target.matches("button, a, input, select")) return;
    event.preventDefault();
    this.pointer.space = pressed;
  }

  // Tools

  pick(name) {
    if (name !== this.tool.name) this.pointer.cancel();
    this.tool.set({ name });
  }

  pickLabel(label) {
    if (label > this.labels.length)
      return notify(`This task has ${this.labels.length} labels; add more on the page “Task”.`, "hint");
    this.tool.set({ label, name: ["move", "eraser"].includes(this.tool.name) ? "pen" : this.tool.name });
  }

  grow(direction) {
    this.tool.grow(direction);
  }

  toolChanged() {
    this.layout.toolChanged();
    this.panel.mark();
    if (this.pointer?.at) this.pointer.hover(this.pointer.at);
  }

  color(label) {
    return this.labels?.[label - 1]?.color ?? "#ffffff";
  }

  paintColors() {
    const numbers = (color) => [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
    this.viewer.color(
      this.labels.map((label, number) => [...numbers(label.color), !this.panel.hidden.has(number + 1)]),
    );
  }

  // A line that says why nothing may be painted, as a notice; false where painting is fine.
  locked() {
    const reason =
      this.kind.target_type !== "labels" && !this.kind.needs_void
        ? "This task predicts pictures; there is nothing to paint."
        : this.labels.length
          ? null
          : "This task has no labels yet; add one on the page “Task”.";
    if (reason) notify(reason, "hint");
    return Boolean(reason);
  }

  painted(tool) {
    if (tool === "smart") this.predict();
  }

  closeOutline() {
    this.pointer.close();
  }

  cancel() {
    if (!this.pointer.cancel()) this.work.stop();
  }

  // Looking

  get index() {
    return this.viewer.voxel[this.axis];
  }

  setAxis(axis) {
    this.axis = axis;
    this.strip.count(null);
    this.moved();
  }

  moveTo(voxel) {
    this.viewer.moveTo(voxel);
    this.moved();
  }

  goTo(index) {
    const voxel = this.viewer.voxel;
    voxel[this.axis] = index;
    this.moveTo(voxel);
  }

  scroll(axis, direction) {
    if (axis !== this.axis) this.setAxis(axis);
    this.goTo(this.index + direction);
  }

  scrollBy(count) {
    this.goTo(this.index + count);
  }

  moved() {
    this.layout.moved();
    this.strip.draw();
    this.overlay.draw(this.pointer.at, this.pointer.outline);
  }

  hovered(under) {
    this.layout.reading(under);
  }

  arrange(layout) {
    this.viewer.arrange(layout);
    if (PLANES.includes(layout)) this.setAxis(PLANES.indexOf(layout));
    this.layout.arranged(layout);
    this.overlay.draw(null, this.pointer.outline);
  }

  nextLayout() {
    if (this.flat) return;
    this.arrange(this.viewer.layout === "all" ? PLANES[this.axis] : "all");
  }

  fit() {
    this.viewer.fit();
    this.moved();
  }

  windowBy(dx, dy) {
    this.display.windowBy(dx, dy);
  }

  nextPreset() {
    this.display.nextPreset();
  }

  toggleLabels() {
    this.display.toggle();
  }

  fade(amount) {
    this.display.fadeTo(this.display.opacity + amount);
  }

  changed(plane) {
    if (!this.work) return;
    this.strip.count(plane);
    this.panel.count();
    this.panel.rate();
    this.layout.changed();
  }

  // Correcting

  undo() {
    this.pointer.cancel() || this.work.undo();
  }

  redo() {
    this.work.redo();
  }

  copy(step) {
    const from = this.index + step;
    if (from < 0 || from >= this.viewer.dims[this.axis]) return notify("There is no slice on that side.", "hint");
    this.work.copy(this.axis, from, this.index);
  }

  confirm() {
    this.work.confirm(this.axis, this.index);
    notify(`Slice ${this.index + 1} is kept as it is.`);
  }

  // The slice on the screen loses all its labels.
  empty() {
    if (this.locked()) return;
    const stroke = new Stroke(this.work, this.work.plane(this.axis, this.index), { name: "eraser" });
    for (let position = 0; position < stroke.plane.size; position++) stroke.paint(position);
    this.viewer.refresh(stroke.plane);
    stroke.end();
  }

  // Answering: see review.js

  predict() {
    return review.predict(this);
  }

  nextUncertain() {
    return review.nextUncertain(this);
  }

  accept() {
    return review.accept(this);
  }

  useAsExample() {
    return review.useAsExample(this);
  }

  nextStudy() {
    return review.nextStudy(this);
  }
}
