// Makes elements. No markup is ever built from strings, so no name of a file or a label can become code.

const SVG = "http://www.w3.org/2000/svg";

// h("button.primary#save", {title: "Save", onclick: save}, "Save"): an element with classes, properties and children.
export function h(selector, properties = {}, ...children) {
  const [, tag, rest] = selector.match(/^([a-z0-9]*)(.*)$/);
  const element = document.createElement(tag || "div");
  for (const [mark, word] of [...rest.matchAll(/([.#])([\w-]+)/g)].map((match) => [match[1], match[2]])) {
    if (mark === ".") element.classList.add(word);
    else element.id = word;
  }
  for (const [name, value] of Object.entries(properties)) assign(element, name, value);
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

function assign(element, name, value) {
  if (value === undefined || value === null) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
  else if (name === "dataset") Object.assign(element.dataset, value);
  else if (name in element && !name.includes("-") && name !== "list") element[name] = value;
  else element.setAttribute(name, value === true ? "" : value);
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `icons.svg#${name}`);
  svg.append(use);
  return svg;
}

// A button with an icon and, if `text` is given, words.
// `keys` names the keys that do the same, for the eyes alone.
export function button(look, name, text, action, { keys, ...properties } = {}) {
  const label = text ? h("span", {}, text) : null;
  const hint = keys ? h("kbd", { "aria-hidden": "true" }, keys) : null;
  return h(`button${look}`, { type: "button", onclick: action, ...properties }, name ? icon(name) : null, label, hint);
}

// A dialog with a title, shown above all else until it is closed.
export function dialog(title, content, actions = []) {
  const close = () => element.close();
  const element = h(
    "dialog.sheet",
    { "aria-label": title, onclose: () => element.remove() },
    h("header", {}, h("h2", {}, title), button(".quiet.square", "close", "", close, { "aria-label": "Close" })),
    h("div.body", {}, content),
    actions.length ? h("footer", {}, actions) : null,
  );
  element.addEventListener("click", (event) => event.target === element && close());
  document.body.append(element);
  element.showModal();
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter(Boolean));
  return element;
}
