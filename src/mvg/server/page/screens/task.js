// The screen “Task”: the saved tasks at the left, the chosen one at the right.

import { post, upload } from "../api.js";
import { button, dialog, h, icon, replace } from "../dom.js";
import { attempt, notify } from "../notices.js";
import { choose, emit, kindOf, on, state, update } from "../state.js";
import { ExampleList } from "./examples.js";
import { LabelTable } from "./labels.js";
import { exportTask, renameTask, removeTask } from "./task-actions.js";

const TARGETS = { labels: "labels", image: "a picture", field: "a deformation" };
const USUAL = ["segmentation", "synthesis", "inpainting", "denoising"];
const FIRST = 4; // kinds that a new task offers at once

const words = (name) => name.replaceAll("_", " ");
const rank = ({ name }) => (USUAL.includes(name) ? USUAL.indexOf(name) : USUAL.length);

export class TaskScreen {
  constructor() {
    this.list = h("ul.task-list", { "aria-label": "Saved tasks" });
    this.detail = h("div.task-detail", {});
    this.file = h("input", {
      type: "file",
      accept: ".mvgtask",
      hidden: true,
      onchange: () => this.import(this.file.files[0]),
    });
    this.element = h(
      "div.page.two",
      {},
      h(
        "aside",
        {},
        h(
          "header",
          {},
          h("h1", {}, "Tasks"),
          button(".small", "plus", "New task", () => this.create()),
        ),
        this.list,
        button(".quiet.small", "upload", "Open a .mvgtask file", () => this.file.click()),
        this.file,
      ),
      this.detail,
    );
    this.end = on("task", () => this.draw());
  }

  async enter() {
    this.draw();
  }

  leave() {
    this.end();
  }

  draw() {
    replace(this.list, ...state.tasks.map((task) => this.row(task)));
    if (!state.task) return replace(this.detail, this.empty());
    // A field that is being written in keeps its text: the newer task is drawn when it is left.
    if (
      this.detail.contains(document.activeElement) &&
      this.shown === state.task.id &&
      document.activeElement.matches("input[type=text]")
    )
      return undefined;
    this.shown = state.task.id;
    return replace(this.detail, ...this.editor(state.task));
  }

  row(task) {
    const open = button(".task-row", "", "", () => choose(task), {
      "aria-current": String(task.id === state.task?.id),
    });
    const colors = h(
      "span.swatches",
      {},
      task.labels.slice(0, 6).map((label) => h("i.swatch", { style: { "--swatch": label.color } })),
    );
    const examples = task.base
      ? `from ${task.base}`
      : `${task.examples.length} example${task.examples.length === 1 ? "" : "s"}`;
    open.append(h("b", {}, task.name), h("span.soft", {}, `${words(task.kind)}, ${examples}`), colors);
    return h("li", {}, open);
  }

  empty() {
    return h(
      "div.plain",
      {},
      icon("example"),
      h("h1", {}, "What should be done?"),
      h(
        "p",
        {},
        "A task is a name, its labels, and a few examples of images with their labels. No example yet? Then paint one slice of one study: that is an example too.",
      ),
      button(".primary", "plus", "New task", () => this.create()),
    );
  }

  editor(task) {
    const kind = kindOf(task);
    const name = h("input.title", {
      type: "text",
      value: task.name,
      "aria-label": "Name of the task",
      maxLength: 80,
      onchange: () => renameTask(task, name),
    });
    const ready = task.ready ? "ready: studies can be answered" : "needs an example, or a painted slice of each study";
    return [
      h(
        "header",
        {},
        name,
        h("span.badge", {}, words(task.kind)),
        h("span.grow"),
        button(".small", "download", ".mvgtask", (event) => exportTask(task, event.currentTarget), {
          disabled: !task.ready,
          title: task.ready ? "" : "A task without examples has nothing to export",
        }),
        button(".small.danger", "trash", "Delete", () => removeTask(task)),
      ),
      h("p.soft", {}, `predicts ${TARGETS[kind?.target_type] ?? "pictures"} · ${ready}`),
      task.message && h("p.error", { role: "alert" }, task.message),
      kind?.target_type === "labels" ? new LabelTable(task).element : null,
      new ExampleList(task, kind).element,
      h("footer", {}, h("a.button.primary", { href: "#/studies" }, "To the studies", icon("forward"))),
    ].filter(Boolean);
  }

  create() {
    const name = h("input", { type: "text", required: true, maxLength: 80, placeholder: "Liver and spleen" });
    // What is wanted most first; the others are there when they are asked for.
    const offered = [...state.info.kinds].sort((one, other) => rank(one) - rank(other));
    const choice = (kind, number) =>
      h(
        "label",
        { title: kind.summary },
        h("input", { type: "radio", name: "kind", value: kind.name, checked: number === 0, onchange: () => fit() }),
        h("b", {}, words(kind.name)),
        h("span.soft", {}, `predicts ${TARGETS[kind.target_type] ?? kind.target_type}`),
      );
    const kinds = h(
      "div",
      { role: "radiogroup", "aria-label": "Kind" },
      h("div.kinds", {}, offered.slice(0, FIRST).map(choice)),
      h(
        "details.more",
        { hidden: offered.length <= FIRST },
        h("summary", {}, `${offered.length - FIRST} more kinds`),
        h(
          "div.kinds",
          {},
          offered.slice(FIRST).map((kind) => choice(kind)),
        ),
      ),
    );
    const labels = h("input", { type: "text", placeholder: "liver, spleen" });
    const field = h("label.field", {}, h("span", {}, "Labels, with commas between; more can be added later"), labels);
    const chosen = () => state.info.kinds.find((kind) => kind.name === kinds.querySelector(":checked").value);
    const fit = () => (field.hidden = chosen().target_type !== "labels");
    const submit = (event) => {
      event.preventDefault();
      attempt(() => this.make(name.value, chosen(), labels.value, sheet));
    };
    const form = h(
      "form",
      { onsubmit: submit },
      h("label.field", {}, h("span", {}, "Name"), name),
      h("div.field", {}, h("span", {}, "Kind"), kinds),
      field,
      h("button.primary", { type: "submit" }, "Make the task"),
    );
    const sheet = dialog("New task", form);
    fit();
    name.focus();
  }

  async make(name, kind, text, sheet) {
    const names = text
      .split(",")
      .map((one) => one.trim())
      .filter(Boolean);
    const labels =
      kind.target_type === "labels" ? (names.length ? names : ["label 1"]).map((one) => ({ name: one })) : [];
    const task = await post("tasks", { name: name.trim(), kind: kind.name, labels });
    sheet.close();
    update(task);
    choose(task);
    emit("task-made", task);
  }

  async import(file) {
    if (!file) return;
    const task = await attempt(() => upload("tasks/import", { file }));
    this.file.value = "";
    if (!task) return;
    update(task);
    choose(task);
    notify(`“${task.name}” is open.`);
    emit("task-made", task);
  }
}
