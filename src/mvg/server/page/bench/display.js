// How the picture is displayed: window and level, opacity and visibility of the labels.

import { button, h, replace } from "../dom.js";
import { presets } from "./windows.js";

const STEPS = 1000; // of a slider

export class Display {
  constructor(bench) {
    Object.assign(this, { bench, opacity: 0.45, visible: true });
    this.preset = h("select", {
      "aria-label": "Window preset",
      onchange: () => this.usePreset(Number(this.preset.value)),
    });
    this.low = this.slider("Darkest intensity", () => this.fromSliders());
    this.high = this.slider("Brightest intensity", () => this.fromSliders());
    this.reading = h("output.reading", {});
    this.fader = this.slider("Opacity of the labels", () => this.fadeTo(this.fader.value / STEPS));
    this.eye = button(".small", "eye", "Labels", () => this.toggle(), { "aria-pressed": "true", keys: "H" });
    this.window = h(
      "div.field",
      {},
      h("label", {}, h("span", {}, "Window"), this.preset),
      h("div.pair", {}, this.low, this.high),
      this.reading,
    );
    this.element = h("div.display", {}, this.window, h("div.field.row", {}, this.eye, this.fader));
  }

  slider(name, oninput) {
    return h("input", { type: "range", min: 0, max: STEPS, "aria-label": name, oninput });
  }

  open(study) {
    this.presets = presets(study, this.bench.viewer.image.img);
    const [low, high] = study.range;
    const margin = (high - low) * 0.02 || 1;
    this.range = [low - margin, high + margin];
    replace(
      this.preset,
      ...this.presets.map(([name], number) => h("option", { value: number }, name)),
      h("option", { value: -1, hidden: true }, "By hand"),
    );
    this.window.hidden = this.bench.viewer.colored;
    this.usePreset(0);
    this.fadeTo(this.opacity);
  }

  usePreset(number) {
    if (number < 0) return;
    this.number = number;
    this.preset.value = String(number);
    this.apply(this.presets[number][1], this.presets[number][2]);
  }

  nextPreset() {
    this.usePreset(((this.number ?? -1) + 1) % this.presets.length);
  }

  apply(low, high) {
    this.bench.viewer.window(low, high);
    const [start, end] = this.range;
    this.low.value = ((low - start) / (end - start)) * STEPS;
    this.high.value = ((high - start) / (end - start)) * STEPS;
    const digits = end - start > 50 ? 0 : 3;
    this.reading.textContent = `${low.toFixed(digits)} to ${high.toFixed(digits)}`;
  }

  byHand(low, high) {
    this.number = undefined;
    this.preset.value = "-1";
    this.apply(low, Math.max(high, low + (this.range[1] - this.range[0]) / STEPS));
  }

  fromSliders() {
    const [start, end] = this.range;
    const at = (slider) => start + (slider.value / STEPS) * (end - start);
    this.byHand(Math.min(at(this.low), at(this.high)), Math.max(at(this.low), at(this.high)));
  }

  // A drag with the right button: across changes the width, up and down the level.
  windowBy(dx, dy) {
    if (this.bench.viewer.colored) return;
    const [low, high] = this.bench.viewer.range;
    const unit = (this.range[1] - this.range[0]) / 600;
    const level = (low + high) / 2 + dy * unit;
    const width = Math.max(unit, high - low + dx * unit * 2);
    this.byHand(level - width / 2, level + width / 2);
  }

  fadeTo(share) {
    this.opacity = Math.min(1, Math.max(0.05, share));
    this.fader.value = this.opacity * STEPS;
    this.visible = true;
    this.paint();
  }

  toggle() {
    this.visible = !this.visible;
    this.paint();
  }

  paint() {
    this.eye.setAttribute("aria-pressed", String(this.visible));
    this.bench.viewer.opacity(this.visible ? this.opacity : 0);
  }
}
