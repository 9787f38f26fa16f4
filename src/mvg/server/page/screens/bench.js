// The screen “Bench”: opens the study that the address names, or says what is missing.

import { Bench } from "../bench/bench.js";
import { button, h, replace } from "../dom.js";
import { on, read, remember, state } from "../state.js";
import { missingWebGL } from "../webgl.js";

// One bench for all visits: a browser grants only a few WebGL contexts.
let shared = null;

export class BenchScreen {
  constructor() {
    this.element = h("div.bench-screen", {});
    this.end = on("task", (task) => this.follow(task));
  }

  async enter(study) {
    const lack = missingWebGL();
    if (lack) return this.say("The bench cannot draw here", lack);
    if (!state.task)
      return this.say("No task yet", "Make a task first: a name and its labels.", ["#/task", "Make a task"]);
    const id = study ?? read("study");
    if (!id) return this.say("No study is open", "Choose one from the list.", ["#/studies", "Choose a study"]);
    if (!study) return (location.hash = `#/bench/${state.task.id}/${id}`);
    this.bench = shared ?? new Bench();
    if (this.element.firstChild !== this.bench.element) replace(this.element, this.bench.element);
    if (!shared) this.bench.mount();
    shared = this.bench;
    return this.open(id);
  }

  async open(id) {
    const { bench } = this;
    bench.work?.close();
    const opening = (this.opening = Symbol("study"));
    try {
      await bench.open(state.task, id);
      remember("study", id);
    } catch (error) {
      if (opening !== this.opening) return; // another study was opened meanwhile
      bench.work = null;
      bench.layout.failed(error.message, [
        button(".primary", "refresh", "Try again", () => this.open(id)),
        button("", "", "All studies", () => (location.hash = "#/studies")),
      ]);
    }
  }

  say(title, text, link) {
    const action = link && h("a.button.primary", { href: link[0] }, link[1]);
    replace(this.element, h("div.plain", {}, h("h1", {}, title), h("p", {}, text), action));
    this.bench = null;
  }

  key(event) {
    this.bench?.key(event);
  }

  keyUp(event) {
    if (event.key === " " && this.bench?.work) this.bench.space(event, false);
  }

  // Another task was chosen at the top: the same study is opened for it.
  follow(task) {
    const { work, task: current } = this.bench ?? {};
    if (work && task && task.id !== current.id) location.hash = `#/bench/${task.id}/${work.study.id}`;
  }

  leave() {
    this.end();
    this.bench?.close();
  }
}
