// What the left mouse button does in a slice.
//
// Exact tools (pen, eraser, fill, outline) leave the slice as the user painted it: it is sent whole and kept bit for bit.
// The smart brush only says what the touched pixels are: the model completes the rest of the slice.

export const TOOLS = [
  { name: "move", key: "v", icon: "move", text: "Move", hint: "Move the crosshair; drag to look around" },
  {
    name: "pen",
    key: "b",
    icon: "pen",
    text: "Pen",
    hint: "Paint with the chosen label; the slice is kept exactly as you paint it",
  },
  { name: "eraser", key: "e", icon: "eraser", text: "Eraser", hint: "Erase labels" },
  {
    name: "fill",
    key: "f",
    icon: "fill",
    text: "Fill",
    hint: "Fill the region under the pointer with the chosen label",
  },
  {
    name: "outline",
    key: "p",
    icon: "polygon",
    text: "Outline",
    hint: "Click corners or draw round a region; Enter or a double click closes it",
  },
  {
    name: "smart",
    key: "s",
    icon: "smart",
    text: "Smart brush",
    hint: "Touch what is wrong with the right label; the model mends the rest of the slice",
  },
];

export const BRUSHES = new Set(["pen", "eraser", "smart"]);

// The settings that tools read; `changed` is called after each change.
export class ToolState {
  constructor(changed) {
    Object.assign(this, { name: "pen", label: 1, size: 9, changed });
  }

  set(values) {
    Object.assign(this, values);
    this.size = Math.min(99, Math.max(1, Math.round(this.size)));
    this.changed();
  }

  // Larger brushes grow by larger steps.
  grow(direction) {
    this.set({ size: this.size + direction * Math.max(1, Math.round(this.size / 8)) });
  }
}
