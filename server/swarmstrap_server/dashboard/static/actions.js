// SPDX-License-Identifier: GPL-2.0-or-later
// Whatever changes something says what it will do, has it confirmed in writing, and asks the API.
const dialog = document.getElementById("confirm");
const typed = document.getElementById("confirm-typed");
const sure = document.getElementById("confirm-sure");
const problem = document.getElementById("confirm-problem");
let asked;

function ask(button) {
  asked = button;
  const { says, confirm, names = "", label } = button.dataset;
  document.getElementById("confirm-says").textContent = says;
  document.getElementById("confirm-names").textContent = names;
  document.getElementById("confirm-word").textContent = confirm;
  sure.textContent = label ?? button.textContent;
  problem.textContent = typed.value = "";
  weigh();
  dialog.showModal();
  typed.focus();
}

const weigh = () => (sure.disabled = typed.value.trim() !== asked.dataset.confirm);

async function send(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  if (method === "POST") headers["Idempotency-Key"] = crypto.randomUUID();
  const answer = await fetch(path, { method, headers, body });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const said = await answer.json().catch(() => ({ detail: answer.statusText }));
  throw new Error([said.detail, said.hint].filter(Boolean).join(". "));
}

async function act(event) {
  event.preventDefault();
  sure.disabled = true;
  const { method, path, body, then } = asked.dataset;
  try {
    const answer = await send(method, path, body);
    const refused = Array.isArray(answer) ? answer.filter(({ reason, driver }) => driver && reason) : [];
    if (refused.length) throw new Error(refused.map(({ node, reason }) => `${node}: ${reason}`).join("; "));
    // A new page knows best what the server makes of it.
    if (then) location.assign(then.replace("{id}", answer.id));
    else location.reload();
  } catch (error) {
    problem.textContent = error.message;
    weigh();
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-path]");
  if (button) ask(button);
});
typed?.addEventListener("input", weigh);
dialog?.querySelector("form").addEventListener("submit", act);
document.getElementById("confirm-cancel")?.addEventListener("click", () => dialog.close());
