"use strict";
const lines = [];
const NS = "http://www.w3.org/2000/svg";
function part(tag, attributes, text) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
function draw() {
  const measured = (key) => lines.filter((line) => typeof line.step === "number" && typeof line[key] === "number");
  const steps = measured("loss"), held = measured("eval_loss");
  shown("training", steps.length > 0);
  if (!steps.length) return;
  const values = [...steps.map((line) => line.loss), ...held.map((line) => line.eval_loss)];
  const top = Math.max(...values), bottom = Math.min(0, ...values), last = Math.max(1, steps[steps.length - 1].step);
  const x = (step) => 40 + 750 * step / last, y = (loss) => 230 - 215 * (loss - bottom) / Math.max(1e-9, top - bottom);
  const picture = [];
  for (let n = 0; n <= 4; n++) {
    const loss = bottom + (top - bottom) * n / 4;
    picture.push(part("line", { class: "grid", x1: 40, x2: 790, y1: y(loss), y2: y(loss) }));
    picture.push(part("text", { x: 34, y: y(loss) + 4, "text-anchor": "end" }, loss.toFixed(2)));
    picture.push(part("text", { x: x(last * n / 4), y: 250, "text-anchor": "middle" }, Math.round(last * n / 4)));
  }
  picture.push(part("polyline", { class: "curve", points: steps.map((s) => `${x(s.step)},${y(s.loss)}`).join(" ") }));
  for (const line of held) picture.push(part("circle", { class: "heldout", r: 4, cx: x(line.step), cy: y(line.eval_loss) }));
  at("loss").replaceChildren(...picture);
  const now = steps[steps.length - 1];
  at("now").textContent = `${data.words.step} ${now.step} · ${data.words.loss} ${now.loss.toFixed(4)} · ` +
    `${Math.round(now.tokens_per_s).toLocaleString()} ${data.words.tokens} · ${Number(now.peak_gb).toFixed(1)} GB`;
}
function state(run) { at("state").textContent = data.words["state." + run.state] + (run.stage_shown ? " · " + run.stage : ""); }
state(data.run);
follow("/events/" + encodeURIComponent(data.run.name), {
  lines: ({ reset, fresh }) => {
    if (reset) lines.length = 0;
    lines.push(...fresh);
    draw();
  },
  state,
});
options(at("base"), data.models, 0);
options(at("tuned"), data.models, data.models.length > 1 ? 1 : 0);
const open = (made) => { location.href = "/vote/" + made.ballot; };
at("draw").addEventListener("click", guarded(async () => open(await send(`/api/runs/${encodeURIComponent(data.run.name)}/ballot`, { count: Number(at("count").value) }))));
at("pasted").addEventListener("click", guarded(async () => open(await send(`/api/runs/${encodeURIComponent(data.run.name)}/ballot`, {
  questions: at("questions").value.split("\n"), base: at("base").value, tuned: at("tuned").value }))));
for (const button of document.querySelectorAll("[data-export]")) button.addEventListener("click", () => { location.href = `/vote/${button.dataset.export}/file`; });
at("file").addEventListener("change", guarded(async () => {
  for (const file of at("file").files) await send("/api/votes", { file: JSON.parse(await file.text()) });
  location.reload();
}));
