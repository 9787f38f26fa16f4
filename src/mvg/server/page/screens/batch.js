// The batch: answers all new studies, with progress, cancel and resume.

import { get, post } from "../api.js";
import { button, h, replace } from "../dom.js";
import { attempt, notify } from "../notices.js";
import { emit, on, state } from "../state.js";

export class BatchBar {
  constructor() {
    this.element = h("section.batch", { "aria-label": "Answer many studies", hidden: true });
    this.ends = [on("task", () => this.load()), on("batch", (batch) => this.newer(batch))];
  }

  async load() {
    if (!state.task) return this.draw();
    const reply = await attempt(() => get(`batches?task=${state.task.id}`));
    this.follow(reply?.batches[0] ?? null);
    return undefined;
  }

  counts(counts) {
    this.fresh = counts.new;
    this.answered = counts.answered;
    this.draw();
  }

  follow(batch) {
    this.batch = batch;
    this.draw();
  }

  // Events of the server tell of every batch; one connection serves all screens.
  newer(batch) {
    if (batch.task !== state.task?.id || (this.batch && batch.created < this.batch.created)) return;
    const ended = this.batch?.id === batch.id && this.batch.state === "running" && batch.state === "finished";
    this.follow(batch);
    if (!ended) return;
    const failed = batch.failed.length ? `, ${batch.failed.length} failed` : "";
    notify(`${batch.done} studies answered${failed}. Sort by “Worst first” to begin with those that need you most.`);
    emit("studies", {});
  }

  draw() {
    const { batch, element } = this;
    element.hidden = !state.task || (!batch && !this.fresh && !this.answered);
    if (element.hidden) return;
    if (batch?.state === "running") replace(element, ...this.progress(batch));
    else if (
      batch &&
      ["cancelled", "interrupted"].includes(batch.state) &&
      batch.done + batch.failed.length < batch.total
    )
      replace(element, ...this.paused(batch));
    else replace(element, ...this.idle(batch));
  }

  bar(batch) {
    const inside = batch.slice ? batch.slice[0] / Math.max(1, batch.slice[1]) : 0;
    const share = (100 * (batch.done + batch.failed.length + inside)) / Math.max(1, batch.total);
    return h(
      "div.meter",
      { role: "progressbar", "aria-valuenow": Math.round(share), "aria-valuemin": 0, "aria-valuemax": 100 },
      h("i", { style: { "--share": `${share}%` } }),
    );
  }

  progress(batch) {
    const left = batch.seconds_left ? `, ${duration(batch.seconds_left)} left` : "";
    return [
      h("b", {}, `${batch.done} of ${batch.total} answered${left}`),
      this.bar(batch),
      ...this.failures(batch),
      button(".small", "stop", "Cancel", (event) => this.act("cancel", event.currentTarget)),
    ];
  }

  paused(batch) {
    const text = `${batch.state === "cancelled" ? "Cancelled" : "Interrupted"} after ${batch.done} of ${batch.total}`;
    return [
      h("b", {}, text),
      this.bar(batch),
      ...this.failures(batch),
      button(".small.primary", "play", "Resume", (event) => this.act("resume", event.currentTarget)),
    ];
  }

  idle(batch) {
    const { task } = state;
    const failures = batch ? this.failures(batch) : [];
    if (!this.fresh)
      return [h("b", {}, "No new study is left."), h("span.grow"), ...failures, this.again()].filter(Boolean);
    const studies = `${this.fresh.toLocaleString("en")} new ${this.fresh === 1 ? "study" : "studies"}`;
    const text = task.ready
      ? `${studies} can be answered from the examples.`
      : "Open a study, paint one slice and let it be answered. Once it is an example, all others can be answered from here.";
    return [
      h("span", {}, text),
      h("span.grow"),
      ...failures,
      this.again(),
      button(".small.primary", "spark", "Answer all new", (event) => this.start(event.currentTarget, "new"), {
        disabled: !task.ready,
      }),
    ].filter(Boolean);
  }

  // With more examples than before, what nobody has corrected yet can be answered better.
  again() {
    if (!this.answered || !state.task.ready) return null;
    return button(".small", "refresh", "Answer all again", (event) => this.start(event.currentTarget, "all"), {
      title: "Answers all studies from the examples that there are now, but for those that were corrected or accepted",
    });
  }

  failures(batch) {
    if (!batch.failed.length) return [];
    return [
      button(".small.danger", "warning", `${batch.failed.length} failed`, () =>
        batch.failed.slice(0, 4).forEach(({ error }) => notify(error, "error")),
      ),
    ];
  }

  async start(control, studies) {
    const batch = await attempt(() => post("batches", { task: state.task.id, studies }), control);
    if (batch) this.follow(batch);
  }

  async act(name, control) {
    const batch = await attempt(() => post(`batches/${this.batch.id}/${name}`), control);
    if (batch) this.follow(batch);
  }

  close() {
    this.ends.forEach((end) => end());
  }
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
