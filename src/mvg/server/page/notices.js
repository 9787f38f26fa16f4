// Short messages at the edge of the window. Errors stay until they are closed; the rest leaves by itself.

import { button, h, icon } from "./dom.js";

const SECONDS = 5;
const ICONS = { info: "check", hint: "info", error: "warning" };
const MOST = 4;

// kind: "info" for what was done, "hint" for what is to be done first, "error" for what failed.
export function notify(text, kind = "info", action = null) {
  const area = document.getElementById("notices");
  for (const old of area.children) if (old.dataset.text === text) old.remove();
  while (area.children.length >= MOST) area.firstChild.remove();
  const close = () => notice.remove();
  const notice = h(
    `div.notice.${kind}`,
    { dataset: { text }, role: kind === "error" ? "alert" : "status" },
    icon(ICONS[kind]),
    h("p", {}, text),
    action ? button(".small", "", action.text, () => (close(), action.run())) : null,
    button(".quiet.square.small", "close", "", close, { "aria-label": "Dismiss" }),
  );
  area.append(notice);
  if (kind !== "error") setTimeout(close, SECONDS * 1000);
  return close;
}

export const fail = (error, action = null) => {
  if (error.name === "AbortError") return;
  // The token is asked for at the start of the page; what is not saved yet stays in this browser.
  if (error.status === 401) return void location.reload();
  notify(error.message || String(error), "error", action);
};

// Runs an action of the user; its error becomes a notice, and the button is busy meanwhile.
export async function attempt(action, control = null) {
  control?.setAttribute("aria-busy", "true");
  try {
    return await action();
  } catch (error) {
    fail(error);
    return undefined;
  } finally {
    control?.removeAttribute("aria-busy");
  }
}
