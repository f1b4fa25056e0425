"use strict";
// What the page knows of an answer is a slot, x or y, drawn for each question; which is whose is not in it.
const ballot = data.ballot, key = "tuneserve-vote-" + ballot.id;
const done = new Map();
let voter = "", item = null, left = "x";
const kept = () => { try { return JSON.parse(localStorage.getItem(key) || "{}"); } catch { return {}; } };
const keep = () => { try { localStorage.setItem(key, JSON.stringify({ voter, votes: [...done.values()] })); } catch { /* a file of its own may keep nothing */ } };
function next() {
  const open = ballot.items.filter((each) => !done.has(each.id));
  shown("ballot", open.length > 0);
  shown("end", open.length === 0);
  if (!open.length) return finished();
  item = open[0];
  left = crypto.getRandomValues(new Uint8Array(1))[0] % 2 ? "x" : "y";
  at("progress").textContent = `${done.size + 1} / ${ballot.items.length}`;
  at("question").textContent = item.question;
  at("left").textContent = item[left] || data.words.empty;
  at("right").textContent = item[left === "x" ? "y" : "x"] || data.words.empty;
  at("comment").value = "";
}
function finished() {
  if (!at("votes")) return;
  at("votes").value = JSON.stringify({ ballot: ballot.id, voter, votes: [...done.values()] });
}
const vote = guarded(async (side) => {
  const right = left === "x" ? "y" : "x";
  const mark = { item: item.id, choice: { left, right }[side] || side, left, comment: at("comment").value };
  if (!data.alone) await send(`/api/vote/${ballot.id}`, { voter, votes: [mark] });
  done.set(item.id, mark);
  keep();
  next();
});
async function begin(name) {
  voter = name.trim();
  if (!voter) { at("voter").focus(); return; }
  if (!data.alone) for (const id of (await send(`/api/voted/${ballot.id}`, { voter })).items) done.set(id, { item: id });
  keep();
  shown("who", false);
  next();
}
for (const button of document.querySelectorAll("[data-choice]")) button.addEventListener("click", () => vote(button.dataset.choice));
document.addEventListener("keydown", (event) => {
  if (at("ballot").hidden || event.target.tagName === "INPUT") return;
  const side = { 1: "left", 2: "tie", 3: "right", 4: "neither" }[event.key];
  if (side) vote(side);
});
at("begin").addEventListener("click", guarded(() => begin(at("voter").value)));
at("voter").addEventListener("keydown", (event) => { if (event.key === "Enter") at("begin").click(); });
if (at("save")) at("save").addEventListener("click", () => {
  const link = made("a");
  link.href = URL.createObjectURL(new Blob([at("votes").value], { type: "application/json" }));
  link.download = `votes-${ballot.id}-${voter.replace(/[^\p{L}\p{N}]+/gu, "_")}.json`;
  link.click();
});
const before = kept();
if (before.voter) {
  if (data.alone) for (const mark of before.votes || []) done.set(mark.item, mark);
  begin(before.voter);
}
