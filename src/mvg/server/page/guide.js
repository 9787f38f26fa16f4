// Five steps for the first visit. Each waits for the user to do it; any can be passed over.

import { button, h, icon, replace } from "./dom.js";
import { on, read, remember, state } from "./state.js";

const STEPS = [
  {
    title: "Name a task",
    text: "A task is a name and labels. On the page “Task”, make one, or open one that was saved.",
    event: "task-made",
    go: "#/task",
    target: ".page.two aside header button",
  },
  {
    title: "Open a study",
    text: "All images below the folder are listed. Open one with a click.",
    event: "opened",
    go: "#/studies",
    target: ".study-list",
  },
  {
    title: "Paint one slice",
    text: "Choose a label (keys 1 to 9), then paint it with the pen or go round it with the outline. The strokes are saved as you make them.",
    event: "stroke",
    target: ".tools",
  },
  {
    title: "Answer",
    text: "Press “Answer” (A). The slices beside yours come first. Amber bars in the strip below show where the answer is uncertain.",
    event: "predicted",
    target: ".act .primary",
  },
  {
    title: "Correct, accept, go on",
    text: "Go to the next uncertain slice (N) and mend it: the smart brush lets the model complete it. Accept (Shift+A), then the next study (G).",
    event: "finished",
    target: ".side",
  },
];

let card = null;
let step = 0;
let cleanup = [];

export function startGuide() {
  if (read("guide") === null && (state.info.demo || !state.tasks.length)) openGuide();
}

export function openGuide() {
  closeGuide();
  step = 0;
  card = h("aside.guide", { "aria-label": "First steps" });
  document.body.append(card);
  cleanup = STEPS.map(({ event }, number) => on(event, () => number >= step && go(number + 1)));
  cleanup.push(on("screen", mark));
  document.addEventListener("keydown", closeByKey);
  cleanup.push(() => document.removeEventListener("keydown", closeByKey));
  draw();
}

function closeGuide() {
  remember("guide", "closed");
  cleanup.forEach((end) => end());
  card?.remove();
  card = null;
  mark();
}

// On the bench, Escape gives up an outline first.
function closeByKey(event) {
  const elsewhere = document.body.dataset.screen === "bench" && !card.contains(event.target);
  if (event.key === "Escape" && !elsewhere) closeGuide();
}

function go(number) {
  step = number;
  if (step < STEPS.length) draw();
  else end();
}

function draw() {
  const { title, text, go: address } = STEPS[step];
  const dots = h(
    "div.dots",
    { "aria-label": `Step ${step + 1} of ${STEPS.length}` },
    STEPS.map((_, number) => h(number === step ? "i.on" : "i")),
  );
  const take =
    address && !location.hash.startsWith(address)
      ? button(".small", "", "Take me there", () => (location.hash = address))
      : null;
  replace(
    card,
    button(".quiet.square.small", "close", "", closeGuide, { "aria-label": "Close the guide" }),
    dots,
    h("h2", {}, `${step + 1}. ${title}`),
    h("p", {}, text),
    h(
      "div.duo",
      {},
      take,
      button(".small.quiet", "", step + 1 < STEPS.length ? "Next" : "Close", () => go(step + 1)),
    ),
  );
  mark();
}

function end() {
  replace(
    card,
    icon("done"),
    h("h2", {}, "That is all"),
    h("p", {}, "Every accepted study can be an example (X). From examples, “Answer all new” on the page “Studies” answers all the others. Press ? for all keys."),
    button(".small", "", "Close", closeGuide),
  );
  step = STEPS.length;
  mark();
}

// Rings the part of the page that the step is about.
function mark() {
  document.querySelectorAll(".guided").forEach((element) => element.classList.remove("guided"));
  const target = card && STEPS[step]?.target;
  if (target) document.querySelector(target)?.classList.add("guided");
}
