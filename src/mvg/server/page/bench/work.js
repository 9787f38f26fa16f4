// A study that is being worked on: its session on the server, its labels on the screen, and the way between them.

import { bytes, get, post, stream } from "../api.js";
import { emit } from "../state.js";
import { Autosave } from "./autosave.js";
import { difference, inflate, strokeOnly, wholeSlice } from "./change.js";
import { bytesOf } from "./nifti.js";
import { Plane } from "./plane.js";

export class Work {
  // events: {changed(): the session's numbers changed, saving(state, message), progress(data or null)}
  constructor(viewer, session, study, events) {
    Object.assign(this, { viewer, session, study, events });
    this.painting = false;
    this.predicting = null;
  }

  static async open(viewer, task, id, events) {
    const study = await get(`studies/${id}?task=${task.id}`);
    const session = await post("sessions", { task: task.id, study: id });
    const buffer = await bytes(`studies/${id}/volume.nii`);
    if (!(await viewer.open(buffer, [study.window.low, study.window.high], events.wanted))) return null;
    const work = new Work(viewer, session, study, events);
    await work.reload();
    const saved = (reply, step, remaining) => work.saved(reply, step, remaining);
    work.autosave = Autosave.of(session, saved, events.saving);
    return work;
  }

  get path() {
    return `sessions/${this.session.id}`;
  }

  plane(axis, index) {
    return new Plane(this.viewer.dims, axis, index);
  }

  // All labels as the server has them.
  async reload() {
    const buffer = await bytes(`${this.path}/labels.nii`);
    if (this.closed || !this.events.wanted()) return;
    this.viewer.labels.set(bytesOf(buffer).subarray(0, this.viewer.labels.length));
    this.viewer.refresh();
    this.events.changed(null);
  }

  // Ends a stroke: `before` is the slice as it was, `touched` marks the pixels under the brush; `whole` says that the
  // slice is right as it stands now, not only where it was touched.
  stroke(plane, before, touched, whole) {
    const change =
      difference(plane, before, plane.read(this.viewer.labels)) ?? (touched.some(Boolean) ? same(plane, before) : null);
    if (!change) return false;
    const slice = whole ? wholeSlice(change) : strokeOnly(change, touched);
    if (!slice.runs.length && !whole) return false;
    this.autosave.push("corrections", { slices: [slice] });
    this.events.changed(plane);
    emit("stroke", { whole });
    return true;
  }

  undo() {
    if (this.session.undo || this.autosave.steps.length) this.autosave.push("undo");
  }

  redo() {
    if (this.session.redo || this.autosave.steps.length) this.autosave.push("redo");
  }

  copy(axis, from, to) {
    this.autosave.push("copy", { axis, from, to });
  }

  confirm(axis, index) {
    this.autosave.push("confirm", { axis, index });
  }

  clear() {
    this.autosave.push("clear");
  }

  // The server has taken a step. What it sends is drawn, unless newer strokes are still on their way there.
  async saved(reply, step, remaining) {
    const { slices, ...numbers } = reply;
    if (this.closed) return;
    Object.assign(this.session, numbers);
    if (remaining || this.painting) this.stale ||= step.kind !== "corrections";
    else if (slices === null || this.stale) {
      this.stale = false;
      await this.reload();
    } else for (const slice of slices ?? []) await this.draw(slice);
    this.events.changed(null);
  }

  async draw(slice) {
    const labels = await inflate(slice.zlib);
    if (this.painting || this.autosave?.steps.length) {
      // Something newer is being painted; once that is saved everything is fetched again.
      this.stale = true;
      return;
    }
    const plane = this.plane(slice.axis, slice.index);
    plane.write(this.viewer.labels, labels);
    this.viewer.refresh(plane);
    this.events.changed(plane);
  }

  begin() {
    this.painting = true;
  }

  // After a stroke, also one that changed nothing.
  async end() {
    this.painting = false;
    if (this.stale && !this.autosave.steps.length) {
      this.stale = false;
      await this.reload();
    }
  }

  // Predicts the volume, slices near `around` first. A newer stroke ends it early; then it starts again.
  async predict(around) {
    this.predicting?.abort();
    const controller = (this.predicting = new AbortController());
    this.events.progress({ done: 0, total: 0, starting: true });
    try {
      let superseded = true;
      while (superseded) {
        if (!(await this.autosave.settled())) return false;
        superseded = await this.run(around, controller.signal);
      }
      emit("predicted", this.session);
      return true;
    } catch (error) {
      if (error.name !== "AbortError") throw error;
      return false;
    } finally {
      if (this.predicting === controller) {
        this.predicting = null;
        this.events.progress(null);
        this.events.changed(null);
      }
    }
  }

  async run(around, signal) {
    let superseded = false;
    const receive = async ({ event, data }) => {
      if (event === "slice") await this.draw(data);
      if (event === "slice" || event === "progress") this.events.progress(data);
      if (event === "superseded") superseded = true;
      if (event === "error") throw new Error(data.error);
      if (event === "end") {
        const { uncertainty, quality, label_quality, revision } = data;
        const news = { uncertainty, quality, label_quality, has_prediction: true, predicted_revision: revision };
        Object.assign(this.session, news);
      }
    };
    await stream(`${this.path}/predict`, around === undefined ? {} : { around }, receive, signal);
    if (!superseded) Object.assign(this.session, await get(this.path));
    return superseded;
  }

  stop() {
    this.predicting?.abort();
  }

  async uncertain(count) {
    return (await get(`${this.path}/uncertain?count=${count}`)).slices;
  }

  async finish(example) {
    await this.autosave.settled();
    Object.assign(this.session, await post(`${this.path}/finish`, { example }));
    emit("finished", this.session);
    this.events.changed(null);
  }

  // Steps that are still on their way go on being sent.
  close() {
    this.closed = true;
    this.stop();
  }
}

const same = (plane, slice) => ({ axis: plane.axis, index: plane.index, before: slice, after: slice });
