// The labels of a task: names, colors, and the values that they have in files.

import { patch } from "../api.js";
import { button, h } from "../dom.js";
import { attempt } from "../notices.js";
import { state, update } from "../state.js";

export class LabelTable {
  constructor(task) {
    this.task = task;
    const rows = task.labels.map((label, number) => this.row(label, number));
    const add = h("input", {
      type: "text",
      placeholder: "Name of another label",
      "aria-label": "Name of another label",
      maxLength: 80,
    });
    const submit = (event) => {
      event.preventDefault();
      if (add.value.trim()) this.save([...task.labels, { name: add.value.trim() }], add);
    };
    this.element = h(
      "section.card",
      {},
      h("h2", {}, "Labels"),
      h(
        "table.label-table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Key", "Color", "Name", "Value in files"].map((text) => h("th", { scope: "col" }, text)),
            h("td", {}),
          ),
        ),
        h("tbody", {}, rows),
      ),
      h(
        "form.row",
        { onsubmit: submit },
        add,
        h("button.small", { type: "submit", disabled: task.labels.length >= state.info.limits.labels }, "Add"),
      ),
    );
  }

  row(label, number) {
    const change = (values, control) =>
      this.save(
        this.task.labels.map((one, other) => (other === number ? { ...one, ...values } : one)),
        control,
      );
    const color = h("input", {
      type: "color",
      value: label.color,
      "aria-label": `Color of ${label.name}`,
      onchange: () => change({ color: color.value }, color),
    });
    const name = h("input", {
      type: "text",
      value: label.name,
      "aria-label": "Name",
      maxLength: 80,
      onchange: () => change({ name: name.value.trim() || label.name }, name),
    });
    const leave = button(
      ".quiet.square.small",
      "trash",
      "",
      () =>
        this.save(
          this.task.labels.filter((one) => one !== label),
          leave,
        ),
      {
        "aria-label": `Remove ${label.name}`,
        disabled: this.task.labels.length < 2,
      },
    );
    return h(
      "tr",
      {},
      h("td", {}, h("kbd", {}, number < 9 ? String(number + 1) : "")),
      h("td", {}, color),
      h("td", {}, name),
      h("td.number", {}, String(label.value)),
      h("td", {}, leave),
    );
  }

  async save(labels, control) {
    const task = await attempt(() => patch(`tasks/${this.task.id}`, { labels }), control);
    document.activeElement?.blur?.();
    update(task ?? this.task);
  }
}
