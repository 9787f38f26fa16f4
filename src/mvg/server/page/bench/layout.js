// The elements of the bench and what they say; the bench decides, this draws.

import { button, h, icon, replace } from "../dom.js";
import { notify } from "../notices.js";
import { Compare } from "./compare.js";
import { state } from "../state.js";
import { showHeader } from "./header.js";
import { PLANES } from "./plane.js";
import { TOOLS } from "./tools.js";

const LAYOUTS = [
  ["all", "Planes and 3D"],
  ["axial", "Axial"],
  ["coronal", "Coronal"],
  ["sagittal", "Sagittal"],
  ["render", "3D"],
];
const SAVING = {
  saved: ["check", "Saved"],
  saving: ["dots", "Saving …"],
  waiting: ["warning", "Waiting for the server"],
  blocked: ["warning", "Not saved"],
  refused: ["warning", "Refused"],
};

export class BenchLayout {
  constructor(bench) {
    this.bench = bench;
    this.picture = h("canvas.picture", {});
    this.overlay = h("canvas.overlay", { tabIndex: 0, "aria-label": "The study. Arrow keys go through the slices." });
    this.strip = h("canvas.strip", { "aria-hidden": "true" });
    this.veil = h("div.veil", { hidden: true });
    this.readout = h("output.readout", {});
    this.title = h("h1", {});
    this.where = h("output.where", {});
    this.save = h("button.save.quiet", { type: "button", onclick: () => bench.work?.autosave.retry() });
    this.layouts = LAYOUTS.map(([name, text]) =>
      h("button", { type: "button", dataset: { layout: name }, onclick: () => bench.arrange(name) }, text),
    );
    this.planes = h("div.segmented", { role: "group", "aria-label": "Planes" }, this.layouts);
    this.bar = h(
      "div.bar",
      { hidden: true },
      h("i"),
      h("span", { role: "status" }),
      button(".small", "stop", "Stop", () => bench.work.stop()),
    );
    this.stage = h("div.view", {}, this.picture, this.overlay, this.readout, this.veil);
    this.element = h("section.bench", { "aria-label": "Bench" });
    this.element.append(this.tools(), this.center(), this.side());
  }

  tools() {
    const { bench } = this;
    const tool = ({ name, key, icon: image, text, hint }) =>
      button(".tool", image, text, () => bench.pick(name), {
        dataset: { tool: name },
        title: `${hint} (${key.toUpperCase()})`,
        keys: key.toUpperCase(),
      });
    this.size = h("output", {});
    const command = (image, text, key, run) => button(".tool", image, text, run, { title: `${text} (${key})` });
    this.undo = command("undo", "Undo", "Ctrl+Z", () => bench.undo());
    this.redo = command("redo", "Redo", "Ctrl+Shift+Z", () => bench.redo());
    this.range = h("input", {
      type: "range",
      min: 1,
      max: 60,
      "aria-label": "Size of the brush",
      oninput: () => bench.tool.set({ size: Number(this.range.value) }),
    });
    this.painting = h("div.group", {}, TOOLS.slice(1).map(tool));
    this.toolBar = h(
      "div.tools",
      { role: "toolbar", "aria-label": "Tools" },
      h("div.group", {}, tool(TOOLS[0])),
      this.painting,
      h("div.size", { title: "Shift + wheel, or [ and ]" }, h("span", {}, "Size ", this.size), this.range),
      h(
        "div.group",
        {},
        this.undo,
        this.redo,
        button(".tool", "copy", "Copy previous", () => bench.copy(-1), {
          title: "Gives this slice the labels of the slice before (C), or of the one after (Shift+C)",
          keys: "C",
        }),
      ),
    );
    return this.toolBar;
  }

  center() {
    const head = h(
      "header",
      {},
      h("a.back.quiet", { href: "#/studies", title: "All studies" }, icon("back")),
      this.title,
      button(".quiet.square.small", "info", "", () => showHeader(this.bench.work.study), {
        "aria-label": "What the file's header says",
        hidden: state.info.anonymous,
        title: "What the file's header says; it may name the patient",
      }),
      this.save,
      this.planes,
    );
    const legend = h(
      "span.strip-legend",
      { "aria-hidden": "true" },
      h("i.labeled"),
      "labeled",
      h("i.uncertain"),
      "uncertain",
      h("i.given"),
      "given by you",
    );
    this.stripBox = h("div.strip-box", {}, h("div.strip-head", {}, this.where, legend), this.strip);
    return h("div.center", {}, head, this.stage, this.bar, this.stripBox);
  }

  side() {
    const { bench } = this;
    this.answer = button(".primary.wide", "spark", "Answer", () => bench.predict(), { keys: "A" });
    this.next = button(".wide", "target", "Next uncertain slice", () => bench.nextUncertain(), { keys: "N" });
    this.confirm = button(".wide", "check", "This slice is right", () => bench.confirm(), { keys: "K" });
    this.accept = button(".wide", "done", "Accept", () => bench.accept(), { title: "Shift+A", keys: "⇧A" });
    this.example = button(".wide", "example", "Use as example", () => bench.useAsExample(), { keys: "X" });
    this.following = button(".wide", "forward", "Next study", () => bench.nextStudy(), { keys: "G" });
    this.comparing = button(".wide", "compare", "Compare with the query", () => this.compare(), { hidden: true });
    this.status = h("p.status", {});
    const edit = h("a.edit", { href: "#/task", title: "Names, colors and further labels, on the page “Task”" }, "Edit");
    this.labelCard = h("div.card", {}, h("header", {}, h("h2", {}, "Labels"), edit), bench.panel.element);
    this.sideBar = h(
      "aside.side",
      { "aria-label": "Answer, labels and display" },
      h("div.card.act", {}, this.answer, this.next, this.confirm, this.comparing, this.status),
      this.labelCard,
      h("div.card", {}, h("h2", {}, "Display"), bench.display.element),
      h("div.card.act", {}, this.accept, this.example, this.following),
    );
    return this.sideBar;
  }

  loading(text) {
    replace(this.veil, h("div.spinner"), h("p", {}, text));
    this.veil.hidden = false;
    this.title.textContent = this.title.title = "";
    replace(this.readout);
    this.idle(true);
    delete this.element.dataset.study;
    replace(this.save);
  }

  // Without a study there is nothing to do but what the veil offers.
  idle(nothing) {
    for (const part of [this.toolBar, this.sideBar, this.stripBox]) part.inert = nothing;
    this.element.classList.toggle("idle", nothing);
  }

  failed(message, actions) {
    replace(this.veil, icon("warning"), h("p", {}, message), h("div.duo", {}, actions));
    this.veil.hidden = false;
  }

  lost() {
    const again = button(".primary", "refresh", "Open it again", () => location.reload());
    this.failed("The graphics card was lost, as happens after sleep. Everything is saved.", [again]);
  }

  opened() {
    const { bench } = this;
    this.veil.hidden = true;
    this.idle(false);
    this.stripBox.hidden = bench.flat;
    this.title.textContent = this.title.title = bench.work.study.name;
    this.planes.hidden = bench.flat;
    this.layouts[0].textContent = bench.viewer.software ? "Three planes" : "Planes and 3D";
    this.painting.hidden = bench.pictures && !bench.kind.needs_void;
    this.labelCard.hidden = this.painting.hidden;
    for (const one of [this.next, this.confirm]) one.hidden = bench.pictures;
    this.example.hidden = bench.pictures;
    for (const tool of this.toolBar.querySelectorAll("[data-tool=smart]")) tool.hidden = bench.pictures;
    if (!bench.work.autosave.steps.length) this.saving("saved");
    this.toolChanged();
    this.element.dataset.study = bench.work.study.id;
    this.overlay.focus({ preventScroll: true });
  }

  toolChanged() {
    const { name, size } = this.bench.tool;
    for (const tool of this.element.querySelectorAll("[data-tool]"))
      tool.setAttribute("aria-pressed", String(tool.dataset.tool === name));
    this.size.textContent = String(size);
    this.range.value = size;
  }

  arranged(layout) {
    for (const one of this.layouts) one.setAttribute("aria-pressed", String(one.dataset.layout === layout));
  }

  moved() {
    const { bench } = this;
    const count = bench.viewer.dims[bench.axis];
    this.where.textContent = bench.flat ? "One slice" : `${PLANES[bench.axis]} ${bench.index + 1} / ${count}`;
  }

  changed() {
    const { session } = this.bench.work;
    const pending = this.bench.work.autosave?.steps.length ?? 0;
    this.undo.disabled = !session.undo && !pending;
    this.redo.disabled = !session.redo;
    this.next.disabled = !session.has_prediction || this.bench.flat;
    this.comparing.hidden = !this.bench.pictures || !session.has_prediction;
    this.answer.classList.toggle("stale", session.can_predict && session.predicted_revision !== session.revision);
    this.status.textContent = statusLine(session, this.bench.pictures);
    this.moved();
  }

  reading(under) {
    const { viewer } = this.bench;
    if (!under?.voxel) return replace(this.readout);
    const [x, y, z] = under.voxel;
    const position = x + viewer.dims[0] * (y + viewer.dims[1] * z);
    const label = this.bench.labels[viewer.labels[position] - 1]?.name ?? "";
    const counted = under.voxel.map((index) => index + 1).join(", "); // from 1, as slices are
    const parts = { voxel: counted, intensity: viewer.intensity(position), class: label };
    return replace(this.readout, ...Object.entries(parts).map(([name, text]) => h(`span.${name}`, {}, text)));
  }

  saving(state, message) {
    const [image, text] = SAVING[state];
    this.save.dataset.state = state;
    replace(this.save, icon(image), h("span", {}, text));
    this.save.title = message ?? "Every stroke is on the server's disk.";
    if (state === "refused" || state === "blocked") {
      const again = state === "blocked" ? { text: "Try again", run: () => this.bench.work.autosave.retry() } : null;
      notify(message, "error", again);
    }
  }

  progress(data) {
    this.bar.hidden = !data;
    this.answer.disabled = Boolean(data);
    if (!data) return;
    const share = data.total ? data.done / data.total : 0;
    this.bar.firstChild.style.setProperty("--share", `${Math.round(share * 100)}%`);
    this.bar.children[1].textContent = data.waiting
      ? `Waiting: ${data.waiting} before this one`
      : data.total
        ? `Answering: slice ${data.done} of ${data.total}`
        : "Answering …";
  }

  compare() {
    new Compare(this.bench).open();
  }
}

function statusLine(session, pictures) {
  const given = session.annotated.length + session.drawn.length;
  if (session.state === "done") return "Accepted.";
  if (!session.can_predict)
    return pictures ? "The task needs an example." : "Paint one slice, then let the model answer the rest.";
  if (!session.has_prediction)
    return pictures
      ? "Ready to answer."
      : given
        ? `${given} slice${given > 1 ? "s" : ""} given. Ready to answer.`
        : "Ready: the task has examples.";
  const quality =
    session.quality === null || session.quality === undefined
      ? ""
      : ` Quality about ${Math.round(session.quality * 100)}\u00a0%.`;
  const news = session.predicted_revision !== session.revision ? " Newer strokes wait for an answer." : "";
  return `Answered${given ? ` from ${given} slice${given > 1 ? "s" : ""}` : ""}.${quality}${news}`;
}
