// The export menu: what there is to take away, of this study and of the whole task.

import { download } from "./api.js";
import { button, h, icon } from "./dom.js";
import { attempt } from "./notices.js";
import { on, state } from "./state.js";

const FORMATS = [".nii.gz", ".nrrd", ".mha"];
const DICOM_FORMATS = [
  ["dicom-seg", "DICOM segmentation"],
  ["dicom-labelmap", "DICOM label map"],
  ["rtstruct", "RT structure set"],
];
const DICOM_FILES = ["dicom", ".dcm", ".dicom", ".ima", ""];
let work = null;

export function exportMenu() {
  const body = h("div.menu-body", {});
  const menu = h(
    "details.menu",
    {},
    h("summary", { title: "Export" }, icon("download"), h("span", {}, "Export")),
    body,
  );
  const close = (event) => (!event || !menu.contains(event.target)) && menu.removeAttribute("open");
  addEventListener("pointerdown", close);
  menu.addEventListener(
    "keydown",
    (event) => event.key === "Escape" && (menu.removeAttribute("open"), menu.firstChild.focus()),
  );
  menu.addEventListener("toggle", () => menu.open && body.replaceChildren(...entries(() => close())));
  on("opened", (opened) => (work = opened));
  on("screen", (name) => name !== "bench" && (work = null));
  return menu;
}

function entries(close) {
  const { task } = state;
  if (!task) return [h("p.soft", {}, "Make a task first.")];
  const scope = h(
    "select",
    { "aria-label": "Which studies" },
    h("option", { value: "done" }, "Accepted studies"),
    h("option", { value: "answered" }, "Accepted and answered studies"),
    h("option", { value: "all" }, "All studies with labels"),
  );
  const labels = task.labels.length > 0;
  const named = labels && !state.info.anonymous; // DICOM objects take over who the patient is
  const isDicom = named && DICOM_FILES.includes(work?.study.format);
  const dicomFormats = () => DICOM_FORMATS.map(([name, text]) => h("option", { value: name }, `As ${text}`));
  const format = h(
    "select",
    { "aria-label": "Format" },
    isDicom ? dicomFormats() : h("option", { value: "" }, "In its own format"),
    FORMATS.map((suffix) => h("option", { value: suffix }, `As ${suffix}`)),
  );
  const dicom = h("select", { "aria-label": "Kind of DICOM object" }, dicomFormats());
  const entry = (text, hint, path) => {
    const item = button(".entry", "", "", async () => (await attempt(() => save(path()), item), close()));
    item.append(h("b", {}, text), h("span", {}, hint));
    return item;
  };
  const ofTask =
    (name, more = () => "") =>
    () =>
      `tasks/${task.id}/export/${name}?state=${scope.value}${more()}`;
  return [
    work && h("h3", {}, "This study"),
    work &&
      entry(
        labels ? "Labels of this study" : "Picture of this study",
        "on its own grid",
        () => `${work.path}/export${format.value ? `?format=${format.value}` : ""}`,
      ),
    work && h("label.field", {}, format),
    work &&
      labels &&
      entry("Corrections of this study", "with undo, to go on in Python (.mvgsession)", () => `${work.path}/corrections.mvgsession`),
    h("h3", {}, `Task “${task.name}”`),
    h("label.field", {}, scope),
    entry("All labels", "each in its own format, in the folders of the studies (.zip)", ofTask("labels.zip")),
    named &&
      entry(
        "DICOM objects",
        "of the studies that are DICOM (.zip)",
        ofTask("dicom.zip", () => `&format=${dicom.value}`),
      ),
    named && h("label.field", {}, dicom),
    labels && entry("nnU-Net data set", "imagesTr, labelsTr, dataset.json (.zip)", ofTask("nnunet.zip")),
    labels && entry("Measurements", "ml, mm and mean intensity of each label (.csv)", ofTask("measurements.csv")),
    entry("The task", "its examples, for mvg anywhere (.mvgtask)", () => `tasks/${task.id}/export/task.mvgtask`),
  ].filter(Boolean);
}

async function save(path) {
  if (work) await work.autosave.settled();
  return download(path);
}
