// The keys of the bench: what the help lists is what they do.

// [keys, what happens, action]: `action` is a method of the bench, with its arguments.
export const KEYS = [
  [
    "Tools",
    [
      ["v", "Move", ["pick", "move"]],
      ["b", "Pen", ["pick", "pen"]],
      ["e", "Eraser", ["pick", "eraser"]],
      ["f", "Fill", ["pick", "fill"]],
      ["p", "Outline", ["pick", "outline"]],
      ["s", "Smart brush", ["pick", "smart"]],
      ["[", "Smaller brush", ["grow", -1]],
      ["]", "Larger brush", ["grow", 1]],
      ["Enter", "Close the outline", ["closeOutline"]],
      ["Escape", "Give up the outline; stop answering", ["cancel"]],
    ],
  ],
  [
    "Correct",
    [
      ["Ctrl+z", "Undo, as often as you like", ["undo"]],
      ["Ctrl+Shift+z", "Redo", ["redo"]],
      ["Ctrl+y", "Redo", ["redo"]],
      ["c", "Copy the labels of the slice before", ["copy", -1]],
      ["Shift+c", "Copy the labels of the slice after", ["copy", 1]],
      ["k", "This slice is right as it is", ["confirm"]],
      ["Delete", "Empty the slice: it has no label", ["empty"]],
    ],
  ],
  [
    "Answer",
    [
      ["a", "Answer the volume", ["predict"]],
      ["n", "Go to the next uncertain slice", ["nextUncertain"]],
      ["Shift+a", "Accept the volume", ["accept"]],
      ["x", "Accept and use as an example", ["useAsExample"]],
      ["g", "Next study", ["nextStudy"]],
    ],
  ],
  [
    "Look",
    [
      ["ArrowUp", "Next slice", ["scrollBy", 1]],
      ["ArrowDown", "Slice before", ["scrollBy", -1]],
      ["PageUp", "Ten slices on", ["scrollBy", 10]],
      ["PageDown", "Ten slices back", ["scrollBy", -10]],
      ["q", "Three planes, or one", ["nextLayout"]],
      ["h", "Hide or show the labels", ["toggleLabels"]],
      ["w", "Next window preset", ["nextPreset"]],
      ["r", "Fit to the window", ["fit"]],
      ["-", "Labels fainter", ["fade", -0.1]],
      ["+", "Labels stronger", ["fade", 0.1]],
    ],
  ],
];

export const MOUSE = [
  ["Wheel", "Through the slices"],
  ["Shift + wheel", "Size of the brush"],
  ["Ctrl + wheel", "Zoom"],
  ["Right button, drag", "Window and level"],
  ["Space + drag, or middle button", "Pan"],
  ["Alt + click", "Move the crosshair"],
  ["1 to 9", "Choose the label"],
];

const ACTIONS = new Map(KEYS.flatMap(([, keys]) => keys.map(([key, , action]) => [key, action])));

// The action of a key press, or undefined.
export function actionOf(event) {
  if (/^[1-9]$/.test(event.key) && !event.ctrlKey && !event.metaKey) return ["pickLabel", Number(event.key)];
  const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (event.key.length > 1 || letter !== event.key || event.ctrlKey);
  const name = `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${shift ? "Shift+" : ""}${letter}`;
  return ACTIONS.get(name);
}

// Whether a key press belongs to a field that is being written in.
export const writing = (target) =>
  target.matches?.("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]");
