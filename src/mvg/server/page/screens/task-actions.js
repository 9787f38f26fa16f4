// What can be done to a whole task.

import { download, patch, remove } from "../api.js";
import { button, dialog, h } from "../dom.js";
import { attempt, notify } from "../notices.js";
import { choose, loadTasks, state, update } from "../state.js";

export async function renameTask(task, field) {
  const name = field.value.trim();
  if (!name) return void (field.value = task.name);
  const newer = await attempt(() => patch(`tasks/${task.id}`, { name }), field);
  if (newer) update(newer);
  else field.value = task.name;
}

export const exportTask = (task, control) => attempt(() => download(`tasks/${task.id}/export/task.mvgtask`), control);

export function removeTask(task) {
  const really = async () => {
    sheet.close();
    await attempt(async () => {
      await remove(`tasks/${task.id}`);
      if (state.task?.id === task.id) choose(null);
      await loadTasks();
      notify(`“${task.name}” is in the trash of the folder.`);
    });
  };
  const sheet = dialog(
    "Delete the task?",
    h(
      "p",
      {},
      `“${task.name}”, its corrections and its answers go to the folder mvg/trash. Your images stay as they are.`,
    ),
    [button("", "", "Keep it", () => sheet.close()), button(".danger", "trash", "Delete", really)],
  );
}
