// Everything works without this. It refreshes a live page, and gives keys to links and buttons that name one.
(() => {
  const live = () => document.getElementById("live");
  const link = () => document.getElementById("link");
  let pending = null, fetching = false, again = false, pause = 400;

  const busy = () => {
    const at = document.activeElement;
    const typing = at && live().contains(at) && /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName);
    const typed = [...live().querySelectorAll("input:not([type=hidden]):not([type=checkbox]), textarea")].some((it) => it.value !== it.defaultValue);
    return typing || typed;
  };

  const refresh = async () => {
    pending = null;
    if (fetching) { again = true; return; }
    if (busy()) { say("changed; not refreshed while you write"); schedule(2000); return; }
    fetching = true;
    const begun = performance.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (answer.redirected || !answer.ok) { location.reload(); return; }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
      if (fresh && !busy()) {
        const open = new Set([...live().querySelectorAll("details[open][id]")].map((it) => it.id));
        const focus = live().contains(document.activeElement) ? document.activeElement.id : "";
        fresh.querySelectorAll("details[id]").forEach((it) => { if (open.has(it.id)) it.open = true; });
        live().replaceWith(document.adoptNode(fresh));
        if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
        say("live");
      }
    } catch { say("reconnecting"); }
    // A server at its limit is asked less often.
    pause = Math.min(10000, Math.max(400, 5 * (performance.now() - begun)));
    fetching = false;
    if (again) { again = false; schedule(pause); }
  };
  const schedule = (ms) => { if (pending === null) pending = setTimeout(refresh, ms); };
  const say = (text) => { if (link()) link().textContent = text; };

  const place = document.querySelector("[data-events]");
  if (place && window.EventSource) {
    const source = new EventSource(place.dataset.events);
    source.addEventListener("open", () => say("live"));
    source.addEventListener("error", () => say("reconnecting"));
    source.addEventListener("record", () => schedule(pause));
    source.addEventListener("progress", (event) => {
      const word = JSON.parse(event.data);
      document.querySelectorAll("[data-progress]").forEach((it) => { if (it.dataset.progress === word.step) it.textContent = word.text; });
    });
    source.addEventListener("end", () => { source.close(); schedule(100); });
  } else if (live() && live().dataset.every) {
    setInterval(() => { if (!document.hidden) schedule(0); }, Number(live().dataset.every) * 1000);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    const at = [...document.querySelectorAll("[data-key]")].find((it) => it.dataset.key === event.key);
    if (!at) return;
    event.preventDefault();
    if (at.tagName === "A") at.click(); else { at.scrollIntoView({ block: "center" }); at.focus(); }
  });
})();
