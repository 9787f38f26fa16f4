// The examples of a task: pairs of an image and its target, dropped as files or chosen from the folder.

import { get, post, remove, upload, url } from "../api.js";
import { button, dialog, h, icon, replace } from "../dom.js";
import { attempt, notify } from "../notices.js";
import { update } from "../state.js";

const TARGET_NAME = /(label|seg|mask|target|gt|truth|annot)/i;

export class ExampleList {
  constructor(task, kind) {
    Object.assign(this, { task, labels: kind?.target_type === "labels" });
    this.file = h("input", {
      type: "file",
      multiple: true,
      hidden: true,
      onchange: () => this.receive([...this.file.files]),
    });
    this.element = h(
      "section.card",
      {},
      h(
        "header",
        {},
        h("h2", {}, "Examples"),
        h("span.grow"),
        button(".small", "folder", "From the folder", () => this.choose()),
        this.labels &&
          button(".small", "spark", "All labeled studies", (event) => this.beside(event.currentTarget), {
            title: "Takes up to 32 studies that have labels beside them",
          }),
      ),
      task.base && h("p.soft", {}, `The examples of “${task.base}” are part of the task.`),
      h(
        "ul.examples",
        {},
        task.examples.map((example) => this.item(example)),
      ),
      this.dropZone(),
      this.file,
    );
  }

  item(example) {
    const thumbnail = example.study
      ? h("img", {
          src: url(`studies/${example.study}/thumbnail.png?task=${this.task.id}`),
          alt: "",
          loading: "lazy",
          width: 56,
          height: 56,
        })
      : h("span.thumb", {}, icon("example"));
    const origin =
      { study: "labels beside the study", upload: "dropped here", finished: "accepted in the bench" }[example.origin] ??
      example.origin;
    const leave = button(
      ".quiet.square.small",
      "trash",
      "",
      () => this.apply(() => remove(`tasks/${this.task.id}/examples/${example.id}`), leave),
      { "aria-label": `Remove ${example.name}` },
    );
    return h("li", {}, thumbnail, h("div", {}, h("b", {}, example.name), h("span.soft", {}, origin)), leave);
  }

  dropZone() {
    const zone = h(
      "button.drop",
      { type: "button", onclick: () => this.file.click() },
      icon("upload"),
      h("span", {}, h("b", {}, "Drop an image and its target here"), h("small", {}, "or click to choose two files")),
    );
    const over = (event) => (event.preventDefault(), zone.classList.add("over"));
    zone.addEventListener("dragover", over);
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener(
      "drop",
      (event) => (event.preventDefault(), zone.classList.remove("over"), this.receive([...event.dataTransfer.files])),
    );
    return zone;
  }

  // Two files: the one whose name sounds like a target is the target; else the user says which.
  receive(files) {
    this.file.value = "";
    if (files.length !== 2)
      return notify(`An example is two files, the image and its target; these are ${files.length}.`, "error");
    const named = files.map((file) => TARGET_NAME.test(file.name));
    if (named[0] !== named[1]) return this.send(files[named[0] ? 1 : 0], files[named[0] ? 0 : 1]);
    const pick = (target) => () => (sheet.close(), this.send(files[1 - target], files[target]));
    const sheet = dialog(
      "Which of the two is the target?",
      h("p", {}, this.labels ? "The target holds the labels." : "The target is what should come out."),
      files.map((file, number) => button("", "", file.name, pick(number))),
    );
    return sheet;
  }

  send(image, target) {
    return this.apply(
      () => upload(`tasks/${this.task.id}/examples/upload`, { image, target }),
      this.element.querySelector(".drop"),
    );
  }

  beside(control) {
    return this.apply(() => post(`tasks/${this.task.id}/examples/beside`), control);
  }

  async apply(action, control) {
    const task = await attempt(action, control);
    if (task) update(task);
  }

  // Studies of the folder: those with labels beside them, or, for pictures, an image and then its target.
  async choose() {
    const list = h("ul.choice", {});
    const search = h("input", {
      type: "search",
      placeholder: "Search by name",
      "aria-label": "Search by name",
      oninput: () => fill(),
    });
    const hint = h(
      "p.soft",
      {},
      this.labels ? "Studies with labels beside them." : "First the image, then the picture that should come of it.",
    );
    let image = null;
    const take = async (study) => {
      if (!this.labels && !image) {
        image = study;
        hint.textContent = `Image: ${study.name}. Now choose its target.`;
        return;
      }
      sheet.close();
      await this.apply(() =>
        post(
          `tasks/${this.task.id}/examples`,
          this.labels ? { study: study.id } : { study: image.id, target: study.id },
        ),
      );
    };
    const fill = async () => {
      const reply = await attempt(() =>
        get(`studies?task=${this.task.id}&limit=200&search=${encodeURIComponent(search.value)}`),
      );
      const studies = (reply?.studies ?? []).filter((study) => (!this.labels || study.has_labels) && !study.error);
      replace(
        list,
        ...(studies.length
          ? studies.map((study) => h("li", {}, this.option(study, take)))
          : [h("li.soft", {}, this.labels ? "No study of the folder has labels beside it." : "No study.")]),
      );
    };
    const sheet = dialog("Choose an example", [search, hint, list]);
    await fill();
  }

  option(study, take) {
    const option = button("", "", "", () => take(study));
    option.append(
      h("img", { src: url(`studies/${study.id}/thumbnail.png`), alt: "", loading: "lazy", width: 40, height: 40 }),
      h("span", {}, study.name),
    );
    return option;
  }
}
