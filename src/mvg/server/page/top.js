// The bar at the top: the three screens, the chosen task, the running batch, export, light or dark, help.

import { button, h, icon, replace } from "./dom.js";
import { exportMenu } from "./export.js";
import { showHelp } from "./help.js";
import { choose, on, remember, state } from "./state.js";

const SCREENS = [
  ["task", "Task"],
  ["studies", "Studies"],
  ["bench", "Bench"],
];

export function topBar() {
  const tabs = SCREENS.map(([name, text]) => h("a", { href: `#/${name}`, dataset: { screen: name } }, text));
  const tasks = h("select", {
    "aria-label": "Task",
    onchange: () => choose(state.tasks.find((task) => task.id === tasks.value)),
  });
  const list = () => {
    replace(
      tasks,
      ...state.tasks.map((task) => h("option", { value: task.id, selected: task.id === state.task?.id }, task.name)),
    );
    tasks.hidden = !state.tasks.length;
  };
  on("task", list);
  list();
  on("screen", (name) => {
    for (const tab of tabs) tab.toggleAttribute("aria-current", tab.dataset.screen === name);
    tabs[2].href = location.hash.startsWith("#/bench") ? location.hash : tabs[2].href;
  });
  return [
    h("a.brand", { href: "#/studies", "aria-label": "mvg workbench" }, icon("logo"), h("span", {}, "mvg")),
    h("nav", { "aria-label": "Screens" }, tabs),
    h("label.task-choice", { title: "The task that studies are answered for" }, tasks),
    batchPill(),
    h("span.grow", {}),
    exportMenu(),
    themeButton(),
    button(".quiet.square", "help", "", showHelp, { "aria-label": "Help", title: "Help (?)" }),
  ];
}

// A running batch is seen from every screen.
function batchPill() {
  const bar = h("i", {});
  const text = h("span", {});
  const pill = h("a.pill", { href: "#/studies", hidden: true }, bar, text);
  on("batch", (batch) => {
    pill.hidden = batch.state !== "running";
    text.textContent = `${batch.done} / ${batch.total} answered`;
    bar.style.setProperty("--share", `${(100 * batch.done) / Math.max(1, batch.total)}%`);
  });
  return pill;
}

function themeButton() {
  const dark = () => {
    const theme = document.documentElement.dataset.theme;
    return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const toggle = () => {
    const theme = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    remember("theme", theme);
    replace(control, icon(dark() ? "sun" : "moon"));
  };
  const control = button(".quiet.square", dark() ? "sun" : "moon", "", toggle, {
    "aria-label": "Light or dark",
    title: "Light or dark",
  });
  return control;
}
