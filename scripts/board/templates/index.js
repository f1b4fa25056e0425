"use strict";
function draw(runs) {
  shown("none", runs.length === 0);
  at("runs").replaceChildren(...runs.map((run) => {
    const row = made("tr"), name = made("td"), link = made("a", run.name);
    link.href = "/runs/" + encodeURIComponent(run.name);
    name.append(link);
    row.append(name, made("td", data.words["state." + run.state] + (run.stage_shown ? " · " + run.stage : "")),
      made("td", run.verdict ? data.words["verdict." + run.verdict] + (run.reserved ? data.words.reserved : "") : "", run.verdict),
      made("td", run.gain, "figure"), made("td", run.kept, "figure"), made("td", run.size, "figure"),
      made("td", run.served_as.join(", ")));
    return row;
  }));
}
draw(data.runs);
follow("/events", { runs: draw });
