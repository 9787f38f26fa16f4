// One study in the list.

import { remove, url } from "../api.js";
import { button, dialog, h, icon } from "../dom.js";
import { attempt, notify } from "../notices.js";
import { emit, state } from "../state.js";

const STATE_NAMES = {
  new: "New",
  answered: "Answered",
  correcting: "Being corrected",
  example: "Example",
  done: "Done",
};

// `seen` is called when the server has looked into the file for the thumbnail: it knows more of the study then.
export function studyRow(study, seen = () => {}) {
  const image = `studies/${study.id}/thumbnail.png?${new URLSearchParams({ ...(state.task && { task: state.task.id }), at: study.updated ?? "" })}`;
  const thumbnail = h("img", {
    src: url(image),
    alt: "",
    loading: "lazy",
    width: 60,
    height: 60,
    onload: seen,
    onerror: () => {
      thumbnail.replaceWith(h("span.thumb", {}, icon("warning")));
      seen();
    },
  });
  const facts = [
    size(study),
    study.modality === "CT" ? "CT" : null,
    study.format,
    study.has_labels && "labels beside it",
    study.is_example && study.state !== "example" && "example",
    study.strokes && `${study.strokes} ${study.strokes === 1 ? "stroke" : "strokes"}`,
  ].filter(Boolean);
  const content = [
    study.error ? h("span.thumb", {}, icon("warning")) : thumbnail,
    h(
      "span.names",
      {},
      h("b", {}, study.name),
      study.error ? h("span.soft.reason", {}, study.error) : h("span.soft", {}, facts.join(" · ")),
    ),
    quality(study.error || study.state === "done" ? null : study.quality),
    h(
      "span.state",
      { dataset: { state: study.error ? "error" : study.state } },
      study.error ? "Unreadable" : STATE_NAMES[study.state],
    ),
  ];
  const open = study.error
    ? h("div.study", {}, content)
    : h("a.study", { href: `#/bench/${state.task?.id ?? ""}/${study.id}` }, content);
  return h("li", {}, open, study.origin === "upload" && removal(study));
}

function removal(study) {
  return button(".quiet.square.removal", "trash", "", () => removeStudy(study), {
    "aria-label": `Delete ${study.name}`,
    title: "Delete this uploaded study",
  });
}

function removeStudy(study) {
  const really = async () => {
    sheet.close();
    await attempt(async () => {
      await remove(`studies/${study.id}`);
      notify(`“${study.name}” is in the trash of the folder.`);
      emit("studies", {});
    });
  };
  const sheet = dialog(
    "Delete the study?",
    h(
      "p",
      {},
      `“${study.name}”, its corrections and labels for all tasks go to the folder mvg/trash. Studies of the folder itself are never deleted.`,
    ),
    [button("", "", "Keep it", () => sheet.close()), button(".danger", "trash", "Delete", really)],
  );
}

function size({ shape, spacing }) {
  if (!shape) return null;
  const sides = shape.filter((side, axis) => side > 1 || axis < 2);
  const fine =
    spacing && sides.length > 2 ? `, ${spacing.map((value) => Number(value.toFixed(2))).join(" × ")} mm` : "";
  return `${sides.join(" × ")}${fine}`;
}

function quality(share) {
  if (share === null || share === undefined) return h("span.quality", {});
  const level = share < 0.6 ? "low" : share < 0.8 ? "middle" : "high";
  return h(
    "span.quality",
    { title: `Estimated quality of the answer: Dice ${share.toFixed(2)}`, dataset: { level } },
    h("i", { style: { "--share": `${Math.round(share * 100)}%` } }),
    h("b", {}, `${Math.round(share * 100)} %`),
  );
}
