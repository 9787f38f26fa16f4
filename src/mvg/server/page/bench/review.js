// Answering, accepting, and going on to the next study.

import { get } from "../api.js";
import { attempt, fail, notify } from "../notices.js";
import { emit, state, update } from "../state.js";

export async function predict(bench) {
  const { work, pictures } = bench;
  if (!work.session.can_predict && !work.autosave.steps.length) {
    notify(pictures ? "The task needs an example first." : "Paint one slice first, or give the task an example.", "hint");
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

export const accept = (bench) => finish(bench, false);

export const useAsExample = (bench) => finish(bench, true);

async function finish(bench, example) {
  const { ready } = bench.task;
  await attempt(async () => {
    await bench.work.finish(example);
    if (example) update((bench.task = await get(`tasks/${bench.task.id}`)));
  });
  if (bench.work?.session.state !== "done") return;
  notify(...whatNow(bench, example, ready));
}

// What is said of an accepted study, and what is best done next. ready: whether the task had an example before.
function whatNow(bench, example, ready) {
  const next = { text: "Next study", run: () => nextStudy(bench) };
  if (example && !ready)
    return [
      "The first example of this task. All other studies can be answered from it now.",
      "info",
      { text: "To the studies", run: () => (location.hash = `#/studies/${bench.task.id}`) },
    ];
  if (example) return ["Accepted, and an example of this task from now on.", "info", next];
  if (!ready && !bench.pictures)
    return [
      "Accepted. As an example of the task it would let all other studies be answered.",
      "info",
      { text: "Use as example", run: () => useAsExample(bench) },
    ];
  return ["Accepted. The labels are written; you can still change them.", "info", next];
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
