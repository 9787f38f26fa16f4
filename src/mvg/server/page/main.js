// Starts the page: the server's info, the tasks, and the screen that the address names.

import { get, listen } from "./api.js";
import { Autosave } from "./bench/autosave.js";
import { h, replace } from "./dom.js";
import { startGuide } from "./guide.js";
import { showHelp } from "./help.js";
import { login } from "./login.js";
import { fail } from "./notices.js";
import { choose, emit, loadTasks, read, state, update } from "./state.js";
import { BenchScreen } from "./screens/bench.js";
import { StudiesScreen } from "./screens/studies.js";
import { TaskScreen } from "./screens/task.js";
import { topBar } from "./top.js";

const SCREENS = { task: TaskScreen, studies: StudiesScreen, bench: BenchScreen };
let current = null;

// #/task, #/studies/TASK, #/bench/TASK/STUDY
async function route() {
  const [, name, task, study] = location.hash.split("/");
  const screen = SCREENS[name] ? name : state.task ? "studies" : "task";
  const chosen = state.tasks.find((one) => one.id === task);
  if (chosen && chosen !== state.task) choose(chosen);
  if (current?.name !== screen) {
    current?.screen.leave();
    current = { name: screen, screen: new SCREENS[screen]() };
    replace(document.getElementById("screen"), current.screen.element);
  }
  document.body.dataset.screen = screen;
  document.title = `${{ task: "Task", studies: "Studies", bench: "Bench" }[screen]} · mvg workbench`;
  emit("screen", screen);
  await current.screen.enter(study).catch(fail);
}

function keys(event) {
  if (event.key === "?" && !event.target.matches("input, textarea, select") && !document.querySelector("dialog[open]"))
    return showHelp();
  return current?.screen.key?.(event);
}

// The server's events, while the tab is seen: a browser holds only six connections to one server for all its tabs.
function follow() {
  const handlers = {
    studies: (data) => emit("studies", data),
    batch: (data) => emit("batch", data),
    task: update,
    state: (data) => emit("state", data),
  };
  let close = listen("events", handlers);
  document.addEventListener("visibilitychange", () => {
    close();
    if (document.hidden) return;
    close = listen("events", handlers);
    emit("studies", {});
  });
}

async function start() {
  document.documentElement.dataset.theme = read("theme") ?? "";
  try {
    state.info = await get("info");
  } catch (error) {
    const again = h("button.primary", { type: "button", onclick: () => location.reload() }, "Try again");
    return replace(
      document.getElementById("screen"),
      h("div.plain", {}, h("h1", {}, "No server"), h("p", {}, error.message), again),
    );
  }
  if (!state.info.authorized) await login();
  await loadTasks();
  replace(document.getElementById("top"), topBar());
  addEventListener("hashchange", route);
  addEventListener("keydown", keys);
  addEventListener("keyup", (event) => current?.screen.keyUp?.(event));
  await route();
  Autosave.sendLeftover();
  follow();
  startGuide();
  return undefined;
}

start().catch(fail);
