"""Opens pages in headless Chromium: light, dark and on a telephone. Takes pictures, and says what is wrong, a line each.

usage: look.py URL TOKEN FOLDER AXE PATH...

Wrong is: an error on the console, a request that leaves the server, sideways scrolling at 360 px, a control that the keyboard does not
reach, a violation of WCAG A or AA that axe-core finds.
"""

import sys
from playwright.sync_api import sync_playwright

url, token, folder, axe, *paths = sys.argv[1:]
FORMS = [("light", "light", 1280), ("dark", "dark", 1280), ("phone", "light", 360)]
wrong = []

with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    for name, scheme, width in FORMS:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=False)
        page = context.new_page()
        at = {"path": "/login"}
        page.on("console", lambda said: said.type in ("error", "warning") and wrong.append(f"{name} {at['path']}: console: {said.text}"))
        page.on("pageerror", lambda error: wrong.append(f"{name} {at['path']}: {error}"))
        page.on("request", lambda request: request.url.startswith(url) or wrong.append(f"{name} {at['path']}: asks {request.url}"))
        page.goto(url + "/login")
        page.screenshot(path=f"{folder}/login-{name}.png")
        page.fill("#token", token)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda there: not there.endswith("/login"))
        for path in paths:
            at["path"] = path
            # A live page has a stream that never ends: the network is never idle.
            page.goto(url + path, wait_until="load")
            page.wait_for_timeout(300)
            file = path.strip("/").replace("/", "-").split("?")[0] or "overview"
            page.screenshot(path=f"{folder}/{file}-{name}.png", full_page=True)
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if over > 0:
                wrong.append(f"{name} {path}: {over} px too wide")
            unreachable = page.evaluate(
                """[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')]
                    .filter((it) => it.tabIndex < 0 || it.disabled).map((it) => it.outerHTML.slice(0, 90))"""
            )
            wrong += [f"{name} {path}: the keyboard does not reach {it}" for it in unreachable]
            page.keyboard.press("Tab")
            first = page.evaluate("document.activeElement.className")
            # A report is one sheet, without a bar to skip.
            if first != "skip" and not path.endswith("/report"):
                wrong.append(f"{name} {path}: the first that the keyboard reaches is {first!r}")
            page.evaluate("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
            if axe:
                # Through the debugger, which the page's policy does not concern.
                page.evaluate(open(axe).read() + "; undefined")
                found = page.evaluate("axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa'] })")
                for violation in found["violations"]:
                    nodes = "; ".join(node["html"][:120] for node in violation["nodes"][:3])
                    wrong.append(f"{name} {path}: {violation['id']}: {violation['help']}: {nodes}")
        context.close()
    browser.close()

print("\n".join(wrong))
sys.exit(1 if wrong else 0)
