// Shows the sandbox's state every second, and sends what the buttons say. Everything from outside is set as text.

const MINUTE = 60;  // seconds on the timeline
const LANES = 6;  // of overlapping calls; where more would be needed, the last one has no captions
const MOVES = {  // the buttons that make sense
  processing: ["step", "issue", "await_payment", "reject"],
  issued: ["replace", "revoke"],
  awaiting_payment: ["issue", "reject"],
  rejected: ["issue"],
  revoked: ["issue"],
};
const byId = (id) => document.getElementById(id);
let shown = null;  // the last state

// --- talking to the management API -------------------------------------------------------------------------------

async function ask(method, path, body) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const reply = await fetch(path, options);
  const answer = await reply.json();
  if (!reply.ok) throw new Error(answer.error);
  return answer;
}

async function command(method, path, body) {
  try {
    await ask(method, path, body);
    byId("message").hidden = true;
    return true;
  } catch (error) {
    put(byId("message"), error.message);
    byId("message").hidden = false;
    return false;
  } finally {
    refresh();
  }
}

async function refresh() {
  const state = await ask("GET", "/state").catch(() => null);
  put(byId("live"), state ? "live" : "not reachable: has it stopped?");
  document.body.classList.toggle("lost", !state);
  if (state) show(state);
}

async function watch() {
  if (!document.hidden) await refresh();
  setTimeout(watch, 1000);
}

// --- changing no more of the page than has changed ------------------------------------------------------------------

function put(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

// Rows live as long as what they show, so that focus, selection and tooltips survive a refresh.
function keep(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  const wanted = new Set(items.map((item) => String(key(item))));
  for (const [name, node] of old) if (!wanted.has(name)) node.remove();
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    const node = old.get(name) ?? make(item);
    node.dataset.key = name;
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
}

const copyOf = (template) => () => byId(template).content.firstElementChild.cloneNode(true);

function element(kind, className) {
  const node = document.createElement(kind);
  node.className = className;
  return node;
}

// --- the state -------------------------------------------------------------------------------------------------------

function show(state) {
  shown = state;
  showServer(state);
  showOverlaps(state.overlaps);
  showSwitchboard(state);
  showTimeline(state);
  showOrders(state);
  showAnswers(state);
}

function showOverlaps(overlaps) {
  put(byId("overlap-count"), overlaps);
  byId("overlaps").classList.toggle("bad", overlaps > 0);
  put(byId("overlap-text"), overlaps ? "Refused: another call was in work" : "No call came while another one was in work");
  document.title = overlaps ? `(${overlaps}) CollectSSL sandbox` : "CollectSSL sandbox";
}

function showSwitchboard({ settings, faults, fault_names }) {
  const account = byId("account");
  put(account, settings.locked ? "LOCKED" : "open");
  account.className = settings.locked ? "bad" : "good";
  byId("unlock").hidden = !settings.locked;
  put(byId("faults"), faults.map(({ kind, times }) => (times > 1 ? `${kind} ×${times}` : kind)).join(", ") || "none");
  byId("faults").className = faults.length ? "bad" : "";
  const kinds = [...fault_names, "503", "-14", "-16", "-22"];
  keep(byId("kinds"), kinds, (kind) => kind, () => document.createElement("option"), put);
  const form = byId("settings").elements;
  for (const name of ["latency", "linger"]) {
    if (form[name] !== document.activeElement) form[name].value = settings[name];
  }
  form.strict.checked = settings.strict;
  form.strict.indeterminate = !settings.strict && settings.switches.length > 0;
}

function showTimeline({ now, calls }) {
  const left = (time) => Math.max(0, 100 * (1 - (now - time) / MINUTE));
  const place = (node, call) => {
    const end = Math.min(call.end ?? now, now);
    node.classList.toggle("abandoned", call.abandoned);
    node.style.left = `min(${left(call.start)}%, 100% - 4px)`;
    node.style.width = `${left(end) - left(call.start)}%`;
    node.title = `call ${call.number}${call.order ? ` for order ${call.order}` : ""}: ${call.answer ?? ""} ${told(call)}`;
  };
  const hit = new Set(calls.map((call) => call.during));
  const alone = calls.filter((call) => !call.overlapped);
  keep(byId("alone"), alone, (call) => call.number, () => element("div", "bar"), (bar, call) => {
    place(bar, call);
    bar.classList.toggle("refused", hit.has(call.number));
    const wide = (left(call.end ?? now) - left(call.start)) * byId("alone").clientWidth / 100;
    put(bar, wide > 28 ? call.number : "");
  });
  const groups = Map.groupBy(calls.filter((call) => call.overlapped), (call) => call.during);
  const lanes = inLanes([...groups.values()], left);
  keep(byId("refused"), lanes, (lane) => lane.number, () => element("div", "lane"), (node, lane) => {
    keep(node, [...lane.calls, ...lane.captioned], (item) => (item.length ? `of ${item[0].number}` : item.number),
      (item) => element("div", item.length ? "label" : "bar refused"),
      (child, item) => (item.length ? label(child, item, left) : place(child, item)));
  });
}

// Captions must not lie on each other, so each group goes into the first lane where its own finds room.
function inLanes(groups, left) {
  const lanes = [];
  for (const group of groups) {
    const [start, end] = extent(group, left);
    let lane = lanes.find((each) => each.end <= start);
    if (!lane && lanes.length < LANES) lanes.push(lane = { number: lanes.length, calls: [], captioned: [] });
    if (lane) {
      lane.captioned.push(group);
      lane.end = end;
    }
    (lane ?? lanes.at(-1)).calls.push(...group);
  }
  return lanes;
}

// Where a group with its caption begins and ends, in pixels: the caption stands behind the bars, at the edge before them.
function extent(group, left) {
  const width = byId("alone").clientWidth;
  const start = left(group[0].start) * width / 100;
  const end = left(group.at(-1).end ?? shown.now) * width / 100;
  const room = 20 + 8 * caption(group).length;
  return end + room > width ? [start - room, width, true] : [start, end + room, false];
}

function caption(group) {
  const [first, last] = [group[0], group.at(-1)];
  const refused = first === last ? `call ${first.number}` : `calls ${first.number}–${last.number}`;
  return `${refused} during ${first.during}`;
}

function label(node, group, left) {
  put(node, caption(group));
  const [, , before] = extent(group, left);
  node.style.left = before ? "" : `calc(${left(group.at(-1).end ?? shown.now)}% + 4px)`;
  node.style.right = before ? `calc(${100 - left(group[0].start)}% + 2px)` : "";
}

function showOrders({ orders, orders_placed }) {
  const table = document.querySelector("#orders table");
  table.hidden = !orders.length;
  byId("first").hidden = orders.length > 0;
  const more = orders_placed > orders.length ? `the newest ${orders.length} of ${orders_placed}` : orders_placed || "";
  put(byId("order-count"), more);
  keep(table.tBodies[0], orders, (order) => order.order_number, copyOf("order-row"), (row, order) => {
    const part = (selector) => row.querySelector(selector);
    put(part(".number"), order.order_number);
    const further = order.names.length - 1;
    put(part(".names span"), order.fqdn);
    put(part(".names small"), order.product.toUpperCase() + (further ? `, and ${further} more` : ""));
    part(".names").title = order.names.join(", ");
    put(part(".state"), order.state.replace("_", " "));
    part(".state").className = `state ${order.state}`;
    part("meter").hidden = !order.steps_due;
    part("meter").max = Math.max(order.steps_due, 1);
    part("meter").value = order.steps_done;
    put(part(".steps span"), order.steps_due ? `${order.steps_done} of ${order.steps_due}` : "–");
    put(part(".polls"), order.polls);
    showMoves(part(".moves"), order);
  });
}

function showMoves(cell, order) {
  const active = cell.contains(document.activeElement) ? document.activeElement : null;
  for (const button of cell.children) {
    const move = button.dataset.move;
    button.hidden = !MOVES[order.state].includes(move) || (move === "step" && !order.next_step);
    if (move === "step") {
      put(button, "Next step");
      button.title = `Complete ${order.next_step}`;
    }
  }
  if (active?.hidden) cell.querySelector("button:not([hidden])")?.focus();
}

function showAnswers({ now, answers, calls_made }) {
  const table = document.querySelector("#answers table");
  table.hidden = !answers.length;
  document.querySelector("#answers .empty").hidden = answers.length > 0;
  put(byId("call-count"), calls_made ? `of ${calls_made}` : "");
  keep(table.tBodies[0], answers, (call) => call.number, copyOf("answer-row"), (row, call) => {
    row.classList.toggle("bad", call.overlapped);
    put(row.cells[0], call.number);
    put(row.cells[1], ago(now - call.start));
    put(row.cells[2], call.order ?? "–");
    put(row.cells[3].children[0], call.answer ?? "");
    put(row.cells[3].children[1], told(call));
  });
}

function told(call) {
  return call.overlapped ? `refused during call ${call.during}` : call.meaning;
}

function ago(seconds) {
  if (seconds < 1) return "now";
  return seconds < 100 ? `${Math.floor(seconds)} s` : `${Math.floor(seconds / 60)} min`;
}

// --- what a client has to know ------------------------------------------------------------------------------------

const quoted = (text) => (/^[\w./:@=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

function showServer({ server, orders }) {
  for (const [name, value] of Object.entries(server)) put(byId(name), value);
  const { ca_file, login_name, login_password, endpoint } = server;
  const words = ["curl", "--cacert", ca_file, "-d", `loginName=${login_name}`, "-d", `loginPassword=${login_password}`,
    "-d", `orderNumber=${orders[0]?.order_number ?? "ORDER"}`, "-d", "queryType=1", endpoint];
  put(byId("curl"), words.map(quoted).join(" "));
  put(byId("place-curl"), `curl --json '{"fqdn": "shop.example.com", "issue_after": 30}' ${location.origin}/orders`);
}

async function copy(button) {
  const source = byId(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    put(button, "Copied");
  } catch {  // not allowed to: what is selected can be copied by hand
    getSelection().selectAllChildren(source);
    put(button, "Selected");
  }
  setTimeout(() => put(button, "Copy"), 1500);
}

// --- what the user does -----------------------------------------------------------------------------------------------

document.addEventListener("visibilitychange", () => document.hidden || refresh());

document.addEventListener("click", ({ target }) => {
  const { copy: from, move } = target.dataset ?? {};
  if (from) copy(target);
  if (move) {
    const number = target.closest("tr").dataset.key;
    const order = shown.orders.find((each) => each.order_number === number);
    command("POST", `/orders/${number}/${move}`, move === "step" ? { name: order.next_step, value: 1 } : {});
  }
});

byId("reset").addEventListener("click", () => command("POST", "/reset", {}));
byId("unlock").addEventListener("click", () => command("PATCH", "/settings", { locked: false }));

byId("settings").addEventListener("change", ({ target }) => {
  const value = target.type === "checkbox" ? target.checked : target.valueAsNumber;
  command("PATCH", "/settings", { [target.name]: value });
});
byId("settings").addEventListener("submit", (event) => event.preventDefault());

byId("arm").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { kind, times } = event.target.elements;
  const code = Number(kind.value);
  if (await command("POST", "/faults", { kind: Number.isNaN(code) ? kind.value.trim() : code, times: times.valueAsNumber })) event.target.reset();
});

byId("place").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { fqdn, product, issue_after } = event.target.elements;
  const [first, ...names] = fqdn.value.split(/[\s,]+/).filter(Boolean);
  const order = { fqdn: first ?? "", names, product: product.value, issue_after: JSON.parse(issue_after.value) };
  if (await command("POST", "/orders", order)) fqdn.value = "";
});

watch();
