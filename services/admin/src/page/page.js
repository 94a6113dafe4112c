
"use strict";

const KEY = "mailmesh-key";
const REFRESH_MILLISECONDS = 10000;
const at = (id) => document.getElementById(id);
let older = null;
let accountsShown = 100;

// Text only ever goes in as text: names and problems come from providers and mails.
function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined && text !== null) element.textContent = text;
  return element;
}

class Refused extends Error {
  constructor(status, error) {
    super([error.message, ...(error.fields || []).map((field) => `${field.path}: ${field.message}`), error.action].join("\n"));
    this.status = status;
    this.fields = error.fields || [];
  }
}

async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY)}` };
  if (body) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Refused(0, { message: "The admin service does not answer.", action: "Check that it runs; this page goes on trying." });
  }
  if (answer.status === 204) return null;
  const value = await answer.json().catch(() => ({}));
  if (answer.ok) return value;
  throw new Refused(answer.status, value.error || { message: `Status ${answer.status}.`, action: "Try again." });
}

function tell(error) {
  at("notice").textContent = error ? error.message : "";
  at("notice").hidden = !error;
  if (!error || error.status !== 401) return;
  at("notice").textContent = "This API key is not valid, or it was revoked. Enter another one.";
  leave();
}

function leave() {
  sessionStorage.removeItem(KEY);
  for (const id of ["accounts", "clients", "outbox"]) at(id).replaceChildren();
  at("system").textContent = "";
  at("pages").hidden = at("leave").hidden = true;
  at("enter").hidden = false;
}

function button(label, className, act) {
  const element = make("button", className, label);
  element.type = "button";
  element.addEventListener("click", async () => {
    element.disabled = true;
    try {
      await act();
      tell(null);
      await refresh();
    } catch (error) {
      tell(error);
    }
    element.disabled = false;
  });
  return element;
}

function row(title, kind, state, mood) {
  const element = make("article", "row");
  const heading = make("h3", "", title);
  heading.append(make("span", "", kind), make("span", `state ${mood}`, state.replaceAll("_", " ")));
  element.append(heading);
  return element;
}

function addMore(element, ...texts) {
  element.append(make("p", "more quiet", texts.filter(Boolean).join(" · ")));
}

function addProblem(element, problem) {
  if (!problem) return;
  const code = problem.code && !problem.what.includes(problem.code) ? ` (${problem.code})` : "";
  const what = problem.what.replace(/\.$/, "") + code;
  const who = problem.must_act === "nobody" ? "" : `${problem.must_act.replaceAll("_", " ")} must act: `;
  const text = `${what} — ${who}${problem.action} ${problem.mail}`;
  element.append(make("p", "problem", text.trim()));
}

function addButtons(element, ...buttons) {
  const group = make("div", "buttons");
  group.append(...buttons);
  element.append(group);
}

const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const moment = (text) => text && new Date(text).toLocaleString();
const MOODS = { unproved: "", active: "good", sent: "good", queued: "", sending: "", cancelled: "", failing: "bad", unknown: "bad", sign_in_required: "bad", failed: "bad" };

function showAccount(account) {
  const state = account.enabled ? account.state : "disabled";
  const mood = account.enabled ? (MOODS[state] ?? "warn") : "";
  const element = row(account.key, `${account.direction} · ${account.login}`, state, mood);
  addMore(
    element,
    account.name !== account.key && account.name,
    `${account.protocol} ${account.host}:${account.port} ${account.encryption}`,
    account.client_configuration || account.authorisation,
    state === "unproved" && "unproved: nothing has worked yet with these settings",
    account.proved_at && `server last proved ${moment(account.proved_at)}`,
    account.delete_after_days && `deleted after ${count(account.delete_after_days, "day")}`,
    account.grant && `token until ${moment(account.grant.access_expires_at)}`,
  );
  addProblem(element, account.problem);
  const path = `v1/accounts/${account.key}`;
  const buttons = [
    button(account.enabled ? "Disable" : "Enable", "plain", () => call("PATCH", path, { enabled: !account.enabled })),
    button("Delete", "plain danger", async () => {
      if (confirm(`Delete the account ${account.key}?`)) await call("DELETE", path);
    }),
  ];
  if (account.authorisation === "oauth2") {
    const label = account.sign_in_needed ? "Connect mailbox" : "Connect again";
    buttons.unshift(button(label, account.sign_in_needed ? "" : "plain", () => connect(account.key)));
  }
  addButtons(element, ...buttons);
  return element;
}

async function connect(key) {
  const link = await call("POST", `v1/accounts/${key}/sign-in`);
  const url = new URL(link.url);
  if (!["https:", "http:"].includes(url.protocol)) throw new Error("The sign-in address is none that a browser opens.");
  at("link-url").textContent = at("link-open").href = url.href;
  at("link-until").textContent = moment(link.expires_at);
  at("link").showModal();
}

function showClient(client) {
  const state = client.refusal ? "refused" : "ready";
  const element = row(client.key, `${client.profile} · ${client.client_id}`, state, client.refusal ? "bad" : "good");
  const uses = [client.inbound && "inbound", client.outbound && "outbound"].filter(Boolean).join(" and ");
  const secret = client.has_client_secret ? "with secret" : "no secret";
  addMore(element, client.name !== client.key && client.name, uses, secret, count(client.accounts, "account"), client.issuer);
  addMore(element, `scopes: ${client.scopes.join(" ")}`);
  addMore(element, `redirect URI: ${client.redirect_uri}`);
  addProblem(element, client.refusal);
  addButtons(element, button("Delete", "plain danger", async () => {
    if (confirm(`Delete the client configuration ${client.key}?`)) await call("DELETE", `v1/client-configurations/${client.key}`);
  }));
  return element;
}

function showMail(mail) {
  const to = mail.recipients.map((recipient) => recipient.address).join(", ");
  const element = row(to, mail.account, mail.state, MOODS[mail.state] ?? "warn");
  addMore(
    element,
    moment(mail.created_at),
    mail.attempts > 0 && count(mail.attempts, "attempt"),
    mail.next_attempt_at && `next ${moment(mail.next_attempt_at)}`,
    mail.reply,
    mail.idempotency_key && `key ${mail.idempotency_key}`,
  );
  addProblem(element, mail.problem);
  const path = `v1/outbox/${mail.mail_id}`;
  const decide = (label, decision) => button(label, "plain", () => call("POST", `${path}/decision`, { decision }));
  if (mail.state === "uncertain") {
    addButtons(element, decide("Send again", "resend"), decide("It was sent", "assume_sent"), decide("Give up", "fail"));
  }
  if (mail.state === "queued") addButtons(element, button("Cancel", "plain danger", () => call("POST", `${path}/cancel`)));
  return element;
}

function fill(id, values, show, nothing) {
  const rows = values.map(show);
  at(id).replaceChildren(...(rows.length ? rows : [make("p", "quiet", nothing)]));
}

// Of many accounts the page shows, and fetches again, only as many as were asked for.
async function firstAccounts() {
  const accounts = [];
  let after = "";
  do {
    const limit = Math.min(accountsShown - accounts.length, 1000);
    const page = await call("GET", `v1/accounts?limit=${limit}&after=${after}`);
    accounts.push(...page.accounts);
    after = page.next_after;
  } while (after && accounts.length < accountsShown);
  return { accounts, isCut: Boolean(after) };
}

// What one part of the page cannot show is told in its place; the others stand.
async function part(id, answer) {
  try {
    return await answer;
  } catch (error) {
    if (error.status === 0 || error.status === 401) throw error;
    at(id).replaceChildren(make("p", "quiet", error.message));
    return null;
  }
}

async function refresh() {
  const state = at("outbox-state").value;
  const [system, clients, accounts, outbox] = await Promise.all([
    call("GET", "v1/system"),
    part("clients", call("GET", "v1/client-configurations")),
    part("accounts", firstAccounts()),
    part("outbox", call("GET", `v1/outbox?limit=20&state=${state}`)),
  ]);
  const alive = Object.entries(system.replicas).map(([service, count]) => `${service} ${count}`);
  at("system").textContent = `${system.version} · ${alive.join(", ")} · ${system.events_waiting} events waiting`;
  const known = clients?.client_configurations ?? [];
  const taken = !clients || known.some((client) => !client.own_redirect_uri);
  at("redirect").textContent = taken ? system.own_redirect_uri : system.redirect_uri;
  if (clients) fill("clients", known, showClient, "None yet. Register an OAuth client at your provider, then add it here.");
  if (accounts) fill("accounts", accounts.accounts, showAccount, "None yet. Each mailbox has one account a direction.");
  at("more-accounts").hidden = !accounts?.isCut;
  if (outbox) fill("outbox", outbox.mails, showMail, "No mails.");
  older = outbox?.next_before;
  at("older").hidden = !older;
  offer(known.map((client) => client.key));
  at("enter").hidden = true;
  at("pages").hidden = at("leave").hidden = false;
}

function offer(keys) {
  const select = at("new-account").elements.client_configuration;
  const present = [...select.options].map((option) => option.value);
  if (present.join() === keys.join()) return;
  const chosen = select.value;
  select.replaceChildren(...keys.map((key) => make("option", "", key)));
  if (keys.includes(chosen)) select.value = chosen;
}

// Empty fields are left out, so that the server's own defaults hold.
function read(form) {
  const body = {};
  for (const [name, value] of new FormData(form)) {
    if (value === "" || form.elements[name].closest("label").hidden) continue;
    body[name] = name === "scopes" ? value.split(/\s+/).filter(Boolean) : value;
    if (["port", "delete_after_days"].includes(name) && /^\d+$/.test(value)) body[name] = Number(value);
  }
  return body;
}

function onSubmit(form, path, chooser) {
  const adapt = () => {
    for (const element of form.querySelectorAll("[data-for]")) {
      const by = form.elements[element.dataset.by || chooser];
      element.hidden = by.closest("label").hidden || !element.dataset.for.split(" ").includes(by.value);
      if (element.tagName !== "OPTION") continue;
      element.disabled = element.hidden;
      const select = element.closest("select");
      if (element.hidden && select.value === element.value) select.selectedIndex = 0;
    }
  };
  form.addEventListener("change", adapt);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const faults = form.querySelector(".faults");
    const send = form.querySelector("button");
    faults.textContent = "";
    send.disabled = true;
    try {
      await call("POST", path, read(form));
      form.reset();
      adapt();
      form.closest("details").open = false;
      await refresh();
    } catch (error) {
      faults.textContent = error.message;
      if (error.status === 401) tell(error);
    }
    send.disabled = false;
  });
  adapt();
}

async function attempt() {
  if (!sessionStorage.getItem(KEY)) return leave();
  try {
    await refresh();
    tell(null);
  } catch (error) {
    tell(error);
  }
}

at("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("key").value.trim());
  at("key").value = "";
  attempt();
});
at("leave").addEventListener("click", () => { leave(); tell(null); });
at("outbox-state").addEventListener("change", attempt);
at("more-accounts").addEventListener("click", async () => {
  accountsShown += 100;
  await refresh().catch(tell);
});

at("older").addEventListener("click", async () => {
  try {
    const next = await call("GET", `v1/outbox?limit=20&state=${at("outbox-state").value}&before=${older}`);
    at("outbox").append(...next.mails.map(showMail));
    older = next.next_before;
    at("older").hidden = !older;
  } catch (error) {
    tell(error);
  }
});
at("link-close").addEventListener("click", () => at("link").close());
at("link-copy").addEventListener("click", () => navigator.clipboard?.writeText(at("link-url").textContent));
onSubmit(at("new-account"), "v1/accounts", "authorisation");
onSubmit(at("new-client"), "v1/client-configurations", "profile");
attempt();
setInterval(() => {
  // Buttons under the pointer and pages further down the outbox stay as they are.
  const isReading = at("outbox").childElementCount > 20 || document.querySelector(".row :focus, dialog[open]");
  if (!document.hidden && sessionStorage.getItem(KEY) && !isReading) attempt();
}, REFRESH_MILLISECONDS);
