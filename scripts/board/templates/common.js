"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const shown = (id, on) => { at(id).hidden = !on; };
function made(tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
}
async function send(path, body) {
  const token = document.querySelector("meta[name=token]").content;
  const answer = await fetch(path, {
    method: "POST", body: JSON.stringify(body),
    headers: { "content-type": "application/json", "x-board-token": token },
  });
  const said = await answer.json().catch(() => ({ error: String(answer.status) }));
  if (!answer.ok) throw new Error(said.error + (said.next ? " " + data.words.next + " " + said.next : ""));
  return said;
}
function guarded(action) {
  return async (event) => {
    if (at("error")) at("error").textContent = "";
    try { await action(event); } catch (error) { if (at("error")) at("error").textContent = error.message; }
  };
}
function options(select, models, chosen) {
  for (const model of models) select.append(new Option(`${model.name} (${model.id.split("/")[0]})`, model.id));
  if (chosen !== undefined && models[chosen]) select.selectedIndex = chosen;
}
// A browser opens six connections to a server. A hidden tab gives its own back, or the seventh tab would wait for ever.
function follow(path, heard) {
  let events = null;
  const look = () => {
    if (document.hidden === (events === null)) return;
    if (document.hidden) { events.close(); events = null; return; }
    events = new EventSource(path);
    for (const [name, tell] of Object.entries(heard)) events.addEventListener(name, (event) => tell(JSON.parse(event.data)));
  };
  document.addEventListener("visibilitychange", look);
  look();
}
