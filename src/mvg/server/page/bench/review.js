// Answering, accepting, and going on to the next study.

import { get } from "../api.js";
import { attempt, fail, notify } from "../notices.js";
import { emit, state, update } from "../state.js";

export async function predict(bench) {
  const { work, pictures } = bench;
  if (!work.session.can_predict && !work.autosave.steps.length) {
    notify(pictures ? "The task needs an example first." : "Paint one slice first, or give the task an example.");
    return;
  }
  const around = bench.axis === work.session.plane ? bench.index : undefined;
  try {
    if ((await work.predict(around)) && pictures) bench.layout.compare();
  } catch (error) {
    fail(error, { text: "Try again", run: () => predict(bench) });
  }
}

export async function nextUncertain(bench) {
  const { plane } = bench.work.session;
  const indices = await attempt(() => bench.work.uncertain(3));
  if (!indices) return;
  const next = indices.find((index) => index !== bench.index || bench.axis !== plane);
  if (next === undefined) {
    notify("No slice is uncertain.");
    return;
  }
  if (bench.axis !== plane) bench.setAxis(plane);
  bench.goTo(next);
  emit("uncertain", next);
}

export const accept = (bench) => finish(bench, false, "Accepted. The labels are written; you can still change them.");

export const useAsExample = (bench) => finish(bench, true, "Accepted, and an example of this task from now on.");

async function finish(bench, example, message) {
  await attempt(async () => {
    await bench.work.finish(example);
    if (example) update(await get(`tasks/${bench.task.id}`));
  });
  if (bench.work?.session.state !== "done") return;
  notify(message, "info", { text: "Next study", run: () => nextStudy(bench) });
}

// The answered study of the worst quality; without any the next that is being corrected, or a new one.
export async function nextStudy(bench) {
  const current = bench.work.study.id;
  const query = (of) => `studies?task=${bench.task.id}&sort=quality&order=asc&state=${of}&limit=5`;
  await attempt(async () => {
    for (const of of ["answered", "correcting", "new"]) {
      const { studies } = await get(query(of));
      const next = studies.find((study) => study.id !== current && !study.error);
      if (next) {
        location.hash = `#/bench/${state.task.id}/${next.id}`;
        return;
      }
    }
    notify("No other study is left: all are done.");
  });
}
