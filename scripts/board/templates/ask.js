"use strict";
options(at("first"), data.models, 0);
options(at("second"), data.models, data.models.length > 1 ? 1 : 0);
at("send").disabled = data.models.length === 0;
if (data.models.length === 0) at("error").textContent = data.words.nobody;
at("send").addEventListener("click", guarded(async () => {
  at("send").disabled = true; shown("wait", true);
  try {
    const said = await send("/api/ask", { first: at("first").value, second: at("second").value,
      system: at("system").value, question: at("question").value });
    const card = made("section", undefined, "card"), pair = made("div", undefined, "pair");
    for (const answer of said.answers) {
      const side = made("div");
      side.append(made("h3", answer.name), made("div", answer.text, "text"));
      pair.append(side);
    }
    card.append(made("div", said.question, "text question"), pair);
    at("answers").prepend(card);
  } finally { at("send").disabled = false; shown("wait", false); }
}));
