// The labels at the right side of the bench, with their volumes.

import { button, h, icon, replace } from "../dom.js";

const COUNT_DELAY = 400;

export class LabelPanel {
  constructor(bench) {
    this.bench = bench;
    this.hidden = new Set();
    this.element = h("ul.labels", { "aria-label": "Labels" });
  }

  open() {
    this.amounts = this.bench.labels.map(() => h("span.amount", {}, "–"));
    this.qualities = this.bench.labels.map(() => h("span.share", {}));
    replace(this.element, ...this.bench.labels.map((label, number) => this.row(label, number + 1)));
    this.mark();
    this.count();
  }

  row(label, number) {
    const choose = () => this.bench.pickLabel(number);
    const eye = button(".quiet.square.small", "eye", "", () => this.toggle(number, eye), {
      "aria-label": `Hide or show ${label.name}`,
      "aria-pressed": "false",
    });
    const swatch = h("span.swatch", { style: { "--swatch": label.color } });
    const key = h("kbd", {}, number < 10 ? String(number) : "");
    const facts = h("span.facts", {}, this.amounts[number - 1], this.qualities[number - 1]);
    const text = h("span.text", {}, h("span.name", { title: label.name }, label.name), facts);
    const choice = h(
      "button.label",
      { type: "button", onclick: choose, title: number < 10 ? `Key ${number}` : "" },
      swatch,
      text,
      key,
    );
    return h("li", {}, choice, eye);
  }

  toggle(number, eye) {
    if (!this.hidden.delete(number)) this.hidden.add(number);
    eye.setAttribute("aria-pressed", String(this.hidden.has(number)));
    replace(eye, icon(this.hidden.has(number) ? "eye-off" : "eye"));
    this.bench.paintColors();
  }

  mark() {
    [...this.element.children].forEach((row, number) => {
      row.firstChild.setAttribute("aria-pressed", String(number + 1 === this.bench.tool.label));
    });
  }

  // The Dice to expect of each label, where it was predicted.
  rate() {
    const { session } = this.bench.work;
    this.bench.labels.forEach(({ value, name }, number) => {
      const share = session.label_quality?.[value];
      const element = this.qualities[number];
      element.textContent = share === undefined ? "" : `≈ ${Math.round(share * 100)}\u00a0% right`;
      element.title = share === undefined ? "" : `Estimated Dice of ${name}`;
      element.dataset.level = share < 0.6 ? "low" : share < 0.8 ? "middle" : "high";
    });
  }

  // Volumes follow a moment after the last change: counting voxels takes longer than a stroke may.
  count() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const { labels, spacing } = this.bench.viewer;
      if (!labels) return;
      const counts = new Float64Array(256);
      for (let position = 0; position < labels.length; position++) counts[labels[position]]++;
      const milliliters = (spacing[0] * spacing[1] * spacing[2]) / 1000;
      this.amounts.forEach((amount, number) => {
        amount.textContent = this.bench.flat ? pixels(counts[number + 1]) : volume(counts[number + 1] * milliliters);
      });
    }, COUNT_DELAY);
  }
}

const pixels = (count) => (count ? `${count.toLocaleString("en")} px` : "–");
const volume = (ml) =>
  ml ? `${ml < 10 ? ml.toFixed(2) : ml < 1000 ? ml.toFixed(1) : Math.round(ml).toLocaleString("en")} ml` : "–";
