// What all screens share: the server's info, the tasks, the chosen task; and who wants to know when something happens.

import { get } from "./api.js";

export const state = { info: null, tasks: [], task: null };

const listeners = new Map();

// Calls `handle` for each event of that name; returns a function that ends it.
export function on(name, handle) {
  if (!listeners.has(name)) listeners.set(name, new Set());
  listeners.get(name).add(handle);
  return () => listeners.get(name).delete(handle);
}

export function emit(name, detail) {
  for (const handle of [...(listeners.get(name) ?? [])]) handle(detail);
}

export async function loadTasks() {
  state.tasks = (await get("tasks")).tasks;
  const id = state.task?.id ?? read("task");
  state.task = state.tasks.find((task) => task.id === id) ?? state.tasks[0] ?? null;
  emit("task", state.task);
}

export function choose(task) {
  state.task = task;
  remember("task", task?.id ?? "");
  emit("task", task);
}

// A newer version of a task, from a reply or an event.
export function update(task) {
  if (task.removed) return forget(task.id);
  const number = state.tasks.findIndex((one) => one.id === task.id);
  if (number < 0) state.tasks.push(task);
  else state.tasks[number] = task;
  if (state.task?.id === task.id) choose(task);
}

function forget(id) {
  state.tasks = state.tasks.filter((task) => task.id !== id);
  choose(state.task?.id === id ? (state.tasks[0] ?? null) : state.task);
}

export const kindOf = (task) => state.info.kinds.find((kind) => kind.name === task?.kind);

// Settings of this browser. A browser that forbids storage works without them.
export function remember(key, value) {
  try {
    localStorage.setItem(`mvg.${key}`, value);
  } catch {
    // private windows may refuse; nothing depends on it
  }
}

export function read(key) {
  try {
    return localStorage.getItem(`mvg.${key}`);
  } catch {
    return null;
  }
}
