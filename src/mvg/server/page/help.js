// The help: what keys and mouse do, and where things are kept.

import { button, dialog, h } from "./dom.js";
import { KEYS, MOUSE } from "./bench/keys.js";
import { openGuide } from "./guide.js";
import { state } from "./state.js";

const NAMES = { ArrowUp: "↑", ArrowDown: "↓", PageUp: "Page ↑", PageDown: "Page ↓", Escape: "Esc", Delete: "Del" };

export function showHelp() {
  const groups = KEYS.map(([title, keys]) =>
    h("section", {}, h("h3", {}, title), list(keys.map(([key, text]) => [key, text]))),
  );
  const mouse = h("section", {}, h("h3", {}, "Mouse"), list(MOUSE));
  const { version, weights, device, folder } = state.info;
  const about = h(
    "p.soft",
    {},
    `mvg ${version}, weights “${weights}”, on ${device}. Everything you make is written to ${folder}/mvg/ at once. Not a medical device.`,
  );
  const sheet = dialog("Keys and mouse", h("div.help", {}, groups, mouse), [
    about,
    button("", "play", "Show me the five steps", () => (sheet.close(), openGuide())),
  ]);
  sheet.classList.add("wide");
}

function list(rows) {
  return h(
    "dl",
    {},
    rows.map(([key, text]) => h("div", {}, h("dt", {}, keyCaps(key)), h("dd", {}, text))),
  );
}

function keyCaps(key) {
  if (key.includes(" ")) return h("span", {}, key);
  return key
    .split("+")
    .filter(Boolean)
    .concat(key.endsWith("+") ? ["+"] : [])
    .map((part) => h("kbd", {}, NAMES[part] ?? (part.length === 1 ? part.toUpperCase() : part)));
}
