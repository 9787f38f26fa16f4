// When the picture is drawn. Several changes in one frame are drawn once; where a frame takes long, the next one waits.

const SLOW = 60; // milliseconds for a frame
const PATIENCE = 3; // a slow graphics card draws at most a third of the time

export class Frames {
  // software: says whether there is no graphics card. Then a frame seems short here and takes long elsewhere.
  constructor(canvas, paint, software) {
    Object.assign(this, { canvas, paint, software, pending: false, held: false, cost: 0, drawn: 0 });
  }

  get slow() {
    return this.cost > SLOW || (this.drawn > 0 && this.software());
  }

  request() {
    this.canvas.ariaBusy = "true"; // the picture is not yet what the page says of it
    if (this.pending || this.held) return;
    const since = performance.now() - this.drawn;
    this.after(this.slow ? Math.max(0, this.cost * PATIENCE - since) : 0);
  }

  // Until `release`, nothing is drawn where that takes long: a stroke is shown above the picture meanwhile, and for a
  // frame on its own.
  hold() {
    this.held = this.slow;
  }

  release() {
    if (!this.held) return;
    this.held = false;
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => this.after(0));
  }

  after(milliseconds) {
    this.pending = true;
    setTimeout(() => requestAnimationFrame(() => this.frame()), milliseconds);
  }

  frame() {
    const start = performance.now();
    this.pending = false;
    this.canvas.ariaBusy = "false";
    this.paint();
    requestAnimationFrame(() => {
      this.drawn = performance.now();
      this.cost = this.drawn - start;
    });
  }
}
