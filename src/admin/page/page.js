"use strict";

const $ = (id) => document.getElementById(id);
let token = new URLSearchParams(location.hash.slice(1)).get("token") ?? sessionStorage.getItem("token");
// The token does not stay in the address, where it would end in the history.
if (location.hash) history.replaceState(null, "", location.pathname);

async function ask(path, method = "GET") {
  const answer = await fetch(path, { method, headers: { authorization: `Bearer ${token}` } });
  if (answer.status === 401) {
    sessionStorage.removeItem("token");
    throw signIn((await answer.json()).detail);
  }
  if (!answer.ok) {
    const problem = await answer.json();
    throw new Error([problem.detail, problem.hint].filter(Boolean).join("; "));
  }
  return answer;
}

function signIn(why) {
  $("main").hidden = true;
  $("sign-in").hidden = false;
  $("token").focus();
  return new Error(why);
}

function tell(error) {
  $("trouble").hidden = !error;
  $("trouble").textContent = error ? error.message : "";
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function when(time) {
  if (!time) return "–";
  const seconds = Math.round((new Date(time) - Date.now()) / 1000);
  const size = Math.abs(seconds);
  const [count, unit] = size < 120 ? [size, "s"] : size < 7200 ? [size / 60, "min"]
    : size < 172800 ? [size / 3600, "h"] : [size / 86400, "d"];
  const text = `${Math.floor(count)} ${unit}`;
  return seconds < 0 ? `${text} ago` : `in ${text}`;
}

function path(session) {
  const name = `/api/v1/sessions/${encodeURIComponent(session.name)}`;
  return session.client ? `${name}/clients/${encodeURIComponent(session.client)}` : name;
}

// A cell that says by itself what it is: on a narrow screen the table has no header.
function labelled(label, text, title = "") {
  const td = element("td", text);
  td.dataset.label = label;
  td.title = title ?? "";
  return td;
}

function row(session) {
  const tr = element("tr");
  const name = element("td", session.client ? `${session.name} / ${session.client}` : session.name);
  name.append(element("small", session.bound_to.join(", ")));
  const state = element("td", session.state, session.state);
  const why = session.message ?? session.last_error;
  if (why) state.append(element("small", why));
  const ends = labelled("Ends", when(session.expires_at), session.expires_at);
  const next = labelled("Next refresh", when(session.next_refresh_at), session.next_refresh_at);
  const requests = labelled("Requests", session.counters.requests);
  const renewed = labelled("Renewed", session.counters.refreshes);
  const actions = element("td", undefined, "actions");
  for (const [label, action] of [["Refresh", "refresh"], ["Restore", "restore"]]) {
    const button = element("button", label);
    button.onclick = () => act(button, session, action);
    actions.append(button);
  }
  tr.append(name, state, ends, next, requests, renewed, actions);
  return tr;
}

async function act(button, session, action) {
  if (action === "restore" && !confirm(`Go back to what ${session.name} held before?`)) return;
  button.disabled = true;
  try {
    const { restored } = await (await ask(`${path(session)}/${action}`, "POST")).json();
    tell(restored?.warning ? { message: restored.warning } : null);
  } catch (error) {
    tell(error);
  }
  await draw();
}

async function draw() {
  const { sessions } = await (await ask("/api/v1/sessions")).json();
  const rows = sessions.map(row);
  if (!rows.length) {
    const none = element("td", "There is no session yet: add [session.NAME] to the configuration. One with per_client is there for a client that has a grant.");
    none.colSpan = 7;
    const tr = element("tr");
    tr.append(none);
    rows.push(tr);
  }
  $("sessions").replaceChildren(...rows);
}

let soon;

// Many events at once are one look.
function drawSoon() {
  clearTimeout(soon);
  soon = setTimeout(() => draw().catch(tell), 50);
}

function happened(event) {
  const li = element("li");
  const date = new Date(event.at);
  const today = date.toDateString() === new Date().toDateString();
  const at = element("time", today ? date.toLocaleTimeString() : date.toLocaleString());
  const session = event.client ? `${event.session} / ${event.client}` : event.session;
  // Of a refresh that succeeded it is part of what is said.
  const took = event.took_ms !== null && event.name !== "refresh.succeeded" ? `${event.took_ms} ms` : "";
  const said = [event.detail, took, event.asked_by, event.request].filter(Boolean).join("; ");
  li.append(at, ` ${session} `, element("b", event.name), ` ${said}`);
  $("events").prepend(li);
  while ($("events").children.length > 100) $("events").lastChild.remove();
}

async function listen() {
  const answer = await ask("/api/v1/events?past");
  $("events").replaceChildren(element("li", "Nothing has happened yet."));
  let first = true;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const data = text.slice(0, end).split("\n").find((line) => line.startsWith("data: "));
      text = text.slice(end + 2);
      if (data) {
        if (first) $("events").replaceChildren();
        first = false;
        happened(JSON.parse(data.slice(6)));
        drawSoon();
      }
    }
  }
}

async function open() {
  if (!token) return signIn("");
  try {
    const about = await (await ask("/api/v1/proxy")).json();
    $("about").textContent = `${about.version} · ${about.listen.join(", ")} · ${about.config}`;
    sessionStorage.setItem("token", token);
    $("sign-in").hidden = true;
    $("main").hidden = false;
    tell(null);
    await draw();
  } catch (error) {
    return tell(error);
  }
  const redraw = setInterval(() => draw().catch(tell), 5000);
  await listen().catch(() => {});
  clearInterval(redraw);
  tell(new Error("The proxy does not answer any more."));
  setTimeout(open, 3000);
}

$("sign-in").onsubmit = (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  open();
};

open();
