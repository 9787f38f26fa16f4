// The screen “Studies”: the list with states and quality, page by page, and the batch that answers it.

import { get, post, upload } from "../api.js";
import { button, h, icon, replace } from "../dom.js";
import { attempt, notify } from "../notices.js";
import { on, read, remember, state } from "../state.js";
import { BatchBar } from "./batch.js";
import { studyRow } from "./study-row.js";

const LIMIT = 25;
const SORTS = [
  ["name", "asc", "By name"],
  ["quality", "asc", "Worst first"],
  ["state", "asc", "By state"],
  ["modified", "desc", "Newest first"],
];
const STATES = [
  ["", "All"],
  ["new", "New"],
  ["answered", "Answered"],
  ["correcting", "Being corrected"],
  ["example", "Examples"],
  ["done", "Done"],
];
const SEARCH_DELAY = 250;
const REFETCH_DELAY = 400;

export class StudiesScreen {
  constructor() {
    Object.assign(this, { offset: 0, sort: Number(read("sort") ?? 0), state: "", search: "", looks: new Set() });
    this.batch = new BatchBar();
    this.list = h("ul.study-list", { "aria-label": "Studies", "aria-busy": "true" });
    this.filters = h("div.filters", { role: "group", "aria-label": "State" });
    this.pages = h("nav.pages", { "aria-label": "Pages" });
    this.count = h("p.soft", { role: "status" });
    this.element = h(
      "div.page",
      {},
      this.head(),
      this.batch.element,
      h("div.row.between", {}, this.filters, this.sorter()),
      this.list,
      h("div.row.between", {}, this.count, this.pages),
    );
    this.element.addEventListener("dragover", (event) => event.preventDefault());
    this.element.addEventListener(
      "drop",
      (event) => (event.preventDefault(), this.send([...event.dataTransfer.files])),
    );
    this.ends = [
      on("task", () => this.load()),
      on("studies", () => this.load()),
      on("state", (data) => this.newer(data)),
    ];
  }

  head() {
    const file = h("input", { type: "file", multiple: true, hidden: true, onchange: () => this.send([...file.files]) });
    const search = h("input", {
      type: "search",
      placeholder: "Search by name",
      "aria-label": "Search by name",
      oninput: () => this.searchFor(search.value),
    });
    return h(
      "header",
      {},
      h("h1", {}, "Studies"),
      h("span.soft.folder", { title: "The folder that is served" }, icon("folder"), state.info.folder),
      h("span.grow"),
      h("label.search", {}, icon("search"), search),
      button(".small", "refresh", "", (event) => attempt(() => post("studies/rescan"), event.currentTarget), {
        "aria-label": "Look at the folder again",
        title: "Look at the folder again",
      }),
      button(".small", "upload", "Add files", () => file.click()),
      file,
    );
  }

  sorter() {
    const choice = h(
      "select",
      { "aria-label": "Order", onchange: () => this.sortBy(Number(choice.value)) },
      SORTS.map(([, , text], number) => h("option", { value: number, selected: number === this.sort }, text)),
    );
    return choice;
  }

  sortBy(number) {
    remember("sort", String(number));
    return this.go({ sort: number, offset: 0 });
  }

  searchFor(text) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.go({ search: text, offset: 0 }), SEARCH_DELAY);
  }

  async enter() {
    await Promise.all([this.load(), this.batch.load()]);
  }

  leave() {
    this.ends.forEach((end) => end());
    this.batch.close();
    this.left = true;
  }

  go(values) {
    Object.assign(this, values);
    return this.load();
  }

  async load() {
    const number = (this.number = (this.number ?? 0) + 1);
    const [sort, order] = SORTS[this.sort] ?? SORTS[0];
    const query = new URLSearchParams({
      offset: this.offset,
      limit: LIMIT,
      sort,
      order,
      ...(this.state && { state: this.state }),
      ...(this.search && { search: this.search }),
      ...(state.task && { task: state.task.id }),
    });
    this.list.setAttribute("aria-busy", "true");
    const reply = await attempt(() => get(`studies?${query}`));
    if (!reply || this.left || number !== this.number) return;
    this.list.setAttribute("aria-busy", "false");
    this.draw(reply);
    this.batch.counts(reply.counts);
  }

  draw(reply) {
    const { studies, total, counts, scanning } = reply;
    this.rows = new Map(studies.map((study) => [study.id, studyRow(study, () => this.looked(study))]));
    replace(this.list, ...(studies.length ? this.rows.values() : [this.empty(scanning)]));
    const all = Object.values(counts).reduce((sum, one) => sum + one, 0);
    replace(
      this.filters,
      ...STATES.filter(([name]) => name !== "example" || counts.example || this.state === name).map(([name, text]) =>
        h(
          "button",
          {
            type: "button",
            "aria-pressed": String(name === this.state),
            onclick: () => this.go({ state: name, offset: 0 }),
          },
          text,
          h("span.count", {}, (name ? (counts[name] ?? 0) : all).toLocaleString("en")),
        ),
      ),
    );
    this.count.textContent = scanning
      ? "Looking through the folder …"
      : total
        ? `${this.offset + 1} to ${this.offset + studies.length} of ${total.toLocaleString("en")}`
        : "";
    const page = (name, text, offset, possible) =>
      button(".small", name, text, () => this.go({ offset }), { disabled: !possible, "aria-label": text || name });
    replace(
      this.pages,
      total > LIMIT && page("back", "Back", Math.max(0, this.offset - LIMIT), this.offset > 0),
      total > LIMIT && page("forward", "On", this.offset + LIMIT, this.offset + LIMIT < total),
    );
  }

  // A file that was looked into for the first time: the list is fetched once more, with sizes and errors.
  looked(study) {
    if (study.shape || study.error || this.looks.has(study.id)) return;
    this.looks.add(study.id);
    this.again();
  }

  empty(scanning) {
    if (scanning) return h("li.plain", {}, h("div.spinner"), h("p", {}, "Looking through the folder …"));
    if (this.search || this.state)
      return h(
        "li.plain",
        {},
        icon("search"),
        h("p", {}, "No study is of this state and name."),
        button(".small", "", "All studies", () => this.go({ search: "", state: "", offset: 0 })),
      );
    return h(
      "li.plain",
      {},
      icon("folder"),
      h("h2", {}, "The folder holds no images"),
      h(
        "p",
        {},
        `Put images into ${state.info.folder}, or drop files here. mvg reads NIfTI, DICOM series, MHA, NRRD and pictures.`,
      ),
    );
  }

  // The state of a study in view has changed: the list is fetched once more.
  newer({ study, task }) {
    if (this.rows?.has(study) && task === state.task?.id) this.again();
  }

  again() {
    clearTimeout(this.refetch);
    this.refetch = setTimeout(() => !this.left && this.load(), REFETCH_DELAY);
  }

  async send(files) {
    if (!files.length) return;
    const { upload_bytes: most, upload_files: count } = state.info.limits;
    if (files.length > count || files.some((file) => file.size > most))
      return notify(
        `At most ${count} files of ${Math.round(most / 2 ** 20)} MB each can be added; put more into the folder.`,
        "error",
      );
    const reply = await attempt(() => upload("studies", { files }), this.list);
    for (const { name, error } of reply?.errors ?? []) notify(`${name}: ${error}`, "error");
    if (reply?.studies.length)
      notify(`${reply.studies.length} ${reply.studies.length === 1 ? "study" : "studies"} added.`);
    await this.load();
  }
}
