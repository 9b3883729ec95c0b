// Keeps the page up to date. The server makes every text; here they are only put in their places,
// as text, so that nothing a candidate wrote can become markup.

const EVERY_MS = 1000;
const SLOWEST_MS = 10000; // between two tries while the server does not answer
const TIMEOUT_MS = 5000;

const rows = document.getElementById("rows");
const blank = document.getElementById("row").content.querySelector("tr");
const live = document.getElementById("live");
const pause = document.getElementById("pause");

let paused = false;
let failures = 0;
let timer = 0;

async function update() {
  try {
    const answer = await fetch("/dashboard/recent.json", {
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!answer.ok) throw new Error(`${answer.status}`);
    const page = await answer.json();
    if (!paused) show(page);
    failures = 0;
  } catch {
    failures += 1;
  }
  say();
  schedule();
}

function schedule() {
  clearTimeout(timer);
  if (paused || document.hidden) return;
  const wait = Math.min(SLOWEST_MS, EVERY_MS * 2 ** failures);
  timer = setTimeout(update, failures ? wait * (0.5 + Math.random() / 2) : wait);
}

function say() {
  // A change is announced to screen readers, so the words change only when the state does.
  const words = paused
    ? "Updates are paused."
    : failures
      ? "The server does not answer. Trying again."
      : "Updates every second.";
  if (live.textContent !== words) live.textContent = words;
}

function show(page) {
  for (const [name, text] of Object.entries(page.figures)) {
    put(document.querySelector(`[data-figure="${name}"]`), text);
  }
  document.getElementById("line-away").hidden = page.line_answers;
  document.getElementById("empty").hidden = page.rows.length > 0;
  document.getElementById("table").hidden = page.rows.length === 0;
  showRows(page.rows);
}

// Rows that stay are never moved, so that the focus and the reading position stay too.
function showRows(applications) {
  const wanted = new Set(applications.map((application) => application.id));
  const known = new Map();
  for (const row of [...rows.children]) {
    if (wanted.has(row.dataset.id)) known.set(row.dataset.id, row);
    else row.remove();
  }
  let next = rows.firstElementChild;
  for (const application of applications) {
    const row = known.get(application.id) ?? blank.cloneNode(true);
    fill(row, application);
    if (row === next) next = next.nextElementSibling;
    else rows.insertBefore(row, next);
  }
}

function fill(row, application) {
  row.dataset.id = application.id;
  row.dataset.status = application.status;
  for (const place of row.querySelectorAll("[data-field]")) {
    put(place, application[place.dataset.field]);
  }
  const link = row.querySelector("a");
  link.href = `/applications/${encodeURIComponent(application.id)}`;
  link.title = application.id;
  const time = row.querySelector("time");
  time.dateTime = time.title = application.accepted_at;
}

function put(place, text) {
  if (place && place.textContent !== text) place.textContent = text;
}

pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", `${paused}`);
  if (paused) {
    say();
    schedule();
  } else {
    update();
  }
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !paused) update();
});

pause.hidden = false;
say();
schedule();
