// The header of a study's file. It may name the patient, so it is only shown when the user wants it.

import { get } from "../api.js";
import { dialog, h } from "../dom.js";
import { attempt } from "../notices.js";

export async function showHeader(study) {
  const reply = await attempt(() => get(`studies/${study.id}/header`));
  if (!reply) return;
  const rows = reply.entries.map(({ name, value }) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)));
  const content = rows.length
    ? h("table.header-table", {}, h("tbody", {}, rows))
    : h("p", {}, "This format has no header.");
  dialog(`Header of ${study.name}`, content).classList.add("wide");
}
