// The slices in a row: how much is labeled in each, what is uncertain, which the user gave; click to go there.

const PAD = 10;
const LEAST_DOUBT = 0.2; // of the most labeled pixels of a slice: the doubt that fills the strip

export class Strip {
  // go(index): show that slice.
  constructor(canvas, bench) {
    Object.assign(this, { canvas, bench, counts: null });
    const seek = (event) => event.buttons && bench.work && bench.goTo(this.indexAt(event.offsetX));
    canvas.addEventListener("pointerdown", (event) => (canvas.setPointerCapture(event.pointerId), seek(event)));
    canvas.addEventListener("pointermove", (event) => (seek(event), this.title(event)));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  get length() {
    return this.bench.viewer.dims[this.bench.axis];
  }

  indexAt(x) {
    const share = (x - PAD) / Math.max(1, this.canvas.clientWidth - 2 * PAD);
    return Math.min(this.length - 1, Math.max(0, Math.floor(share * this.length)));
  }

  title(event) {
    if (!this.bench.work) return;
    const index = this.indexAt(event.offsetX);
    const doubt = this.main ? this.bench.work.session.uncertainty?.[index] : null;
    this.canvas.title = `Slice ${index + 1}${doubt ? `: about ${Math.round(doubt)} uncertain pixels` : ""}`;
  }

  // Whether the strip runs along the plane that is predicted; only there uncertainty and given slices are known.
  get main() {
    return this.bench.axis === this.bench.work.session.plane;
  }

  // Counts the labeled pixels of one slice, or of all.
  count(plane) {
    const { axis, work, viewer } = this.bench;
    if (
      !this.counts ||
      this.axis !== axis ||
      this.counts.length !== this.length ||
      plane === null ||
      plane.axis !== axis
    ) {
      this.axis = axis;
      this.counts = countAll(viewer.labels, viewer.dims, axis);
    } else {
      const slice = work.plane(axis, plane.index).read(viewer.labels);
      this.counts[plane.index] = slice.reduce((sum, label) => sum + (label > 0), 0);
    }
    this.draw();
  }

  draw() {
    const { canvas, bench } = this;
    const context = canvas.getContext("2d");
    const ratio = devicePixelRatio;
    Object.assign(canvas, { width: canvas.clientWidth * ratio, height: canvas.clientHeight * ratio });
    if (!bench.work || !this.counts) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(canvas);
    const color = (name) => style.getPropertyValue(name).trim();
    const cell = (canvas.clientWidth - 2 * PAD) / this.length;
    const bars = { context, cell, width: Math.max(1, cell - (cell > 4 ? 1 : 0)), bottom: canvas.clientHeight - 15 };
    context.fillStyle = color("--line");
    context.fillRect(PAD, bars.bottom, canvas.clientWidth - 2 * PAD, 1); // also where nothing is labeled yet
    this.labeled(bars, color("--strip-label"));
    if (this.main) {
      this.uncertain(bars, color("--strip-warn"));
      this.given(bars, color("--accent"), color("--line"));
    }
    const x = PAD + this.bench.viewer.voxel[bench.axis] * cell;
    context.fillStyle = color("--ink");
    context.fillRect(x + cell / 2 - 1, 0, 2, bars.bottom + 4);
  }

  labeled({ context, cell, width, bottom }, color) {
    const most = Math.max(1, ...this.counts);
    context.fillStyle = color;
    this.counts.forEach((count, index) => {
      const height = count ? Math.max(2, (count / most) * (bottom - 4)) : 0;
      context.fillRect(PAD + index * cell, bottom - height, width, height);
    });
  }

  // A cap above each bar, stronger where more pixels are likely wrong.
  uncertain({ context, cell, width, bottom }, color) {
    const doubts = this.bench.work.session.uncertainty;
    if (!doubts) return;
    // On the scale of the labeled pixels, unless there is more doubt than that; small doubts look small.
    const most = Math.max(1, ...doubts, LEAST_DOUBT * Math.max(...this.counts));
    context.fillStyle = color;
    doubts.forEach((doubt, index) => {
      const height = (doubt / most) * (bottom - 4) * 0.8;
      context.globalAlpha = 0.35 + 0.65 * (doubt / most);
      if (height > 0.5) context.fillRect(PAD + index * cell, bottom - height, width, height);
    });
    context.globalAlpha = 1;
  }

  // A dot below the slices that the user gave: filled where whole, a ring where only touched.
  given({ context, cell, bottom }, color) {
    const { annotated, drawn } = this.bench.work.session;
    for (const [indices, whole] of [
      [drawn, false],
      [annotated, true],
    ]) {
      for (const index of indices) {
        context.beginPath();
        context.arc(PAD + (index + 0.5) * cell, bottom + 7, 3, 0, 2 * Math.PI);
        context.lineWidth = 1.5;
        context.strokeStyle = context.fillStyle = color;
        if (whole) context.fill();
        context.stroke();
      }
    }
  }
}

function countAll(labels, dims, axis) {
  const counts = new Array(dims[axis]).fill(0);
  let position = 0;
  for (let z = 0; z < dims[2]; z++) {
    for (let y = 0; y < dims[1]; y++) {
      for (let x = 0; x < dims[0]; x++) if (labels[position++]) counts[axis === 2 ? z : axis === 1 ? y : x]++;
    }
  }
  return counts;
}
