// A predicted picture beside the query: a slider between the two, and a map of what changed.

import { bytes } from "../api.js";
import { dialog, h } from "../dom.js";
import { attempt } from "../notices.js";
import { floatsOf } from "./nifti.js";
import { Plane } from "./plane.js";

const SAMPLES = 20_000;
const OVERLAP = 0.5; // of the two windows, from which on the query's window serves both

export class Compare {
  constructor(bench) {
    Object.assign(this, { bench, split: 0.5, mode: "slider", axis: bench.axis, index: bench.index });
    this.canvas = h("canvas", {
      tabIndex: 0,
      role: "slider",
      "aria-label": "Between query and answer",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    });
    this.slice = h("input", {
      type: "range",
      min: 0,
      max: bench.viewer.dims[this.axis] - 1,
      value: this.index,
      "aria-label": "Slice",
      oninput: () => this.show({ index: Number(this.slice.value) }),
    });
    this.slice.hidden = bench.flat;
    this.modes = [
      ["slider", "Slider"],
      ["difference", "Difference"],
    ].map(([mode, text]) =>
      h("button", { type: "button", dataset: { mode }, onclick: () => this.show({ mode }) }, text),
    );
    this.legend = h("output.legend", {});
    this.canvas.addEventListener(
      "pointerdown",
      (event) => (this.canvas.setPointerCapture(event.pointerId), this.slide(event)),
    );
    this.canvas.addEventListener("pointermove", (event) => event.buttons && this.slide(event));
    this.canvas.addEventListener("wheel", (event) => (event.preventDefault(), this.step(event.deltaY > 0 ? -1 : 1)), {
      passive: false,
    });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  async open() {
    const path = this.bench.work.path;
    const files = await attempt(() => Promise.all([bytes(`${path}/prediction.nii`), bytes(`${path}/difference.nii`)]));
    if (!files) return;
    [this.prediction, this.difference] = files.map(floatsOf);
    this.query = this.bench.viewer.image.img;
    this.windows();
    const head = h("div.segmented", { role: "group", "aria-label": "View" }, this.modes);
    this.sheet = dialog(
      "Query and answer",
      h("div.compare", {}, h("div.row", {}, head, this.slice, this.legend), this.canvas),
    );
    this.sheet.classList.add("large");
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    this.show({});
    this.canvas.focus();
  }

  // The answer is displayed in the query's window where both have one scale, else in a window of its own.
  windows() {
    const range = this.bench.viewer.range;
    const [low, high] = [quantile(this.prediction, 0.005), quantile(this.prediction, 0.995)];
    const common = Math.min(range[1], high) - Math.max(range[0], low);
    const alike = common > OVERLAP * Math.max(range[1] - range[0], high - low);
    this.ranges = { query: range, prediction: alike ? range : [low, high] };
    this.limit = quantile(this.difference.map(Math.abs), 0.999) || 1;
  }

  show(values) {
    Object.assign(this, values);
    this.slice.value = this.index;
    for (const one of this.modes) one.setAttribute("aria-pressed", String(one.dataset.mode === this.mode));
    this.canvas.setAttribute("aria-valuenow", String(Math.round(this.split * 100)));
    this.legend.textContent =
      this.mode === "slider"
        ? "left: query, right: answer"
        : `blue: darker, red: brighter, up to ${this.limit.toPrecision(3)}`;
    this.draw();
  }

  step(count) {
    const last = this.bench.viewer.dims[this.axis] - 1;
    this.show({ index: Math.min(last, Math.max(0, this.index + count)) });
  }

  key(event) {
    const moves = { ArrowLeft: -0.02, ArrowRight: 0.02 };
    const steps = { ArrowUp: 1, ArrowDown: -1 };
    if (event.key in moves) this.show({ split: Math.min(1, Math.max(0, this.split + moves[event.key])) });
    else if (event.key in steps) this.step(steps[event.key]);
    else return;
    event.preventDefault();
  }

  slide(event) {
    const box = this.box;
    if (box) this.show({ split: Math.min(1, Math.max(0, (event.offsetX - box.left) / box.width)) });
  }

  draw() {
    if (!this.prediction) return;
    const { canvas } = this;
    const ratio = devicePixelRatio;
    Object.assign(canvas, { width: canvas.clientWidth * ratio, height: canvas.clientHeight * ratio });
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { viewer } = this.bench;
    const plane = new Plane(viewer.dims, this.axis, this.index);
    const [width, height] = plane.axes.map(
      (axis, number) => [plane.width, plane.height][number] * viewer.spacing[axis],
    );
    const scale = Math.min(canvas.clientWidth / width, canvas.clientHeight / height);
    const box = { width: width * scale, height: height * scale };
    this.box = { ...box, left: (canvas.clientWidth - box.width) / 2, top: (canvas.clientHeight - box.height) / 2 };
    if (this.mode === "difference")
      return this.put(context, picture(plane, this.difference, 1, signed(this.limit)), 0, 1);
    const gray = (data, range) =>
      picture(plane, data, viewer.colored && data === this.query ? viewer.channels : 1, windowed(range));
    this.put(context, gray(this.query, this.ranges.query), 0, this.split);
    this.put(context, gray(this.prediction, this.ranges.prediction), this.split, 1);
    context.fillStyle = "#6becc0";
    context.fillRect(this.box.left + this.split * box.width - 1, this.box.top, 2, box.height);
    return undefined;
  }

  // The part of a slice between two shares of its width.
  put(context, image, from, to) {
    const { left, top, width, height } = this.box;
    const source = [from * image.width, 0, (to - from) * image.width, image.height];
    if (to > from) context.drawImage(image, ...source, left + from * width, top, (to - from) * width, height);
  }
}

// A slice as a canvas, displayed as in the bench: the patient's right at the left, the front and the head at the top.
function picture(plane, data, channels, color) {
  const canvas = h("canvas", { width: plane.width, height: plane.height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(plane.width, plane.height);
  for (let position = 0; position < plane.size; position++) {
    const u = position % plane.width;
    const v = (position - u) / plane.width;
    const at = (plane.height - 1 - v) * plane.width + (plane.width - 1 - u);
    const voxel = plane.at(position);
    const rgb = channels === 1 ? color(data[voxel]) : data.subarray(channels * voxel, channels * voxel + 3);
    image.data.set([rgb[0], rgb[1], rgb[2], 255], 4 * at);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

const windowed =
  ([low, high]) =>
  (value) => {
    const gray = (255 * (value - low)) / (high - low);
    return [gray, gray, gray];
  };

const signed = (limit) => (value) => {
  const share = Math.max(-1, Math.min(1, value / limit));
  return share > 0 ? [40 + 215 * share, 40 + 70 * share, 44] : [40, 44 - 100 * share * 0.9, 48 - 207 * share];
};

function quantile(data, share) {
  const step = Math.max(1, Math.floor(data.length / SAMPLES));
  const values = [];
  for (let position = 0; position < data.length; position += step) values.push(data[position]);
  return values.sort((one, other) => one - other)[Math.floor(share * (values.length - 1))];
}
