import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core";
import { systemClock } from "../../src/wire/clock.ts";
import { dict } from "../../src/wire/json.ts";
import { browse } from "../engine/scene.ts";
import { makeFolder } from "../store/folder.ts";
import { filesOf, refreshesOf, stateOf } from "../support/accounts.ts";
import type { FakeAccount } from "../support/backend/account.ts";
import { turnBody } from "../support/backend/ask.ts";
import { type FakeBackend, startBackend } from "../support/backend/backend.ts";
import {
  CHROMIUM,
  findBarriers,
  openBrowser,
  overhang,
  type Visit,
  visit,
} from "../support/browser.ts";
import { call } from "../support/call.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

if (CHROMIUM === null)
  console.warn("The tests of the dashboard are skipped: there is no Chromium.");

const ADMIN = "sk-admin-for-the-dashboard-77";
const PHONE = { width: 390, height: 844 };

let backend: FakeBackend;
let browser: Browser;
let made = 0;

beforeAll(async () => {
  backend = await startBackend();
  if (CHROMIUM !== null) browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
  await backend.stop();
});

function fresh(count: number): readonly FakeAccount[] {
  return Array.from({ length: count }, () => {
    made += 1;
    return backend.account(`dash-${made}`, { email: `person-${made}@example.com` });
  });
}

function start(accounts: readonly FakeAccount[], config: { readonly [key: string]: unknown } = {}) {
  return startProxy({ backend, accounts, config: { "admin-key": ADMIN, ...config } });
}

/** The dashboard, signed in, on one of its pages. */
async function signedIn(
  proxy: Pick<TestProxy, "url">,
  page: "accounts" | "requests" | "charts" = "accounts",
  options: BrowserContextOptions = {},
): Promise<Visit> {
  const visited = await visit(browser, `${proxy.url}/#/${page}`, options);
  await signIn(visited.page, ADMIN);
  await visited.page.locator("nav").waitFor();
  return visited;
}

async function signIn(page: Page, key: string): Promise<void> {
  await page.locator("#key").fill(key);
  await page.keyboard.press("Enter");
}

function button(within: Page | Locator, name: string): Locator {
  return within.getByRole("button", { name, exact: true });
}

/** The line of an account, by its file's name. */
async function lineOf(page: Page, proxy: TestProxy, account: FakeAccount): Promise<Locator> {
  const label = String((await proxy.stats()).of(account).whole["label"]);
  const line = page.locator("tr", { hasText: label }).first();
  await line.waitFor();
  return line;
}

/** Opens an account's details, where its actions are. */
async function openDetails(page: Page, proxy: TestProxy, account: FakeAccount): Promise<Locator> {
  const line = await lineOf(page, proxy, account);
  await line.locator(".opener button").click();
  return page.locator("tr.details");
}

async function says(place: Locator, words: string | RegExp): Promise<void> {
  await place.filter({ hasText: words }).first().waitFor();
}

function ask(proxy: TestProxy, more: Parameters<typeof turnBody>[1] = {}, id = "talk") {
  return call(proxy, { body: turnBody("Say hi", more), headers: { "session-id": id } });
}

describe.skipIf(CHROMIUM === null)("signing in", () => {
  test("the key is kept for the tab, goes out as a header only, and is gone after signing out", async () => {
    await using proxy = await start(fresh(1));
    await using shown = await visit(browser, proxy.url);
    const { page, requests, faults } = shown;
    await page.locator("#key").waitFor();
    expect(await page.content()).not.toContain("example.com");
    await signIn(page, "sk-not-this-one-123");
    await says(page.locator("#key-fault"), "does not know this key");
    await signIn(page, ADMIN);
    await says(page.locator(".listing"), "example.com");
    expect(await page.evaluate("JSON.stringify(sessionStorage)")).toContain(ADMIN);
    expect(await page.evaluate("JSON.stringify(localStorage) + document.cookie")).not.toContain(
      ADMIN,
    );
    await page.reload();
    await says(page.locator(".listing"), "example.com");
    const other = await page.context().newPage();
    await other.goto(proxy.url);
    await other.locator("#key").waitFor();
    await button(page, "Sign out").click();
    await page.locator("#key").waitFor();
    expect(await page.evaluate("JSON.stringify(sessionStorage)")).not.toContain(ADMIN);
    expect(requests.filter((url) => url.includes(ADMIN))).toEqual([]);
    expect(requests.filter((url) => !url.startsWith(proxy.url))).toEqual([]);
    expect(faults).toEqual([]);
  });

  test("without an admin key an API key will do; without any, who sits at the machine needs none", async () => {
    const [account] = fresh(1);
    const accounts = account === undefined ? [] : [account];
    await using keyed = await start(accounts, { "admin-key": "", "api-keys": ["sk-only-key-123"] });
    await using shown = await visit(browser, keyed.url);
    await signIn(shown.page, "sk-only-key-123");
    await says(shown.page.locator(".listing"), "example.com");
    await using open = await start(fresh(1), { "admin-key": "", "api-keys": [] });
    await using free = await visit(browser, open.url);
    await says(free.page.locator(".listing"), "example.com");
    expect(await button(free.page, "Sign out").count()).toBe(0);
  });

  test("who tries key after key has to wait, is told so, and can go on a minute later", async () => {
    let aheadMs = 0;
    const clock = { ...systemClock, now: () => Date.now() + aheadMs };
    await using proxy = await startProxy({
      backend,
      accounts: fresh(1),
      config: { "admin-key": ADMIN },
      clock,
    });
    await using shown = await visit(browser, proxy.url);
    const { page } = shown;
    await page.clock.install();
    for (let tries = 1; tries <= 10; tries++) {
      const answered = page.waitForResponse((response) => response.url().includes("/stats"));
      await signIn(page, `sk-guess-number-${tries}`);
      expect((await answered).status()).toBe(401);
      await until("it may be tried again", () => button(page, "Sign in").isEnabled());
    }
    await signIn(page, ADMIN);
    await says(page.locator("#key-fault"), /Too many wrong keys.*1 min|Too many wrong keys.*\d+ s/);
    expect(await button(page, "Sign in").isDisabled()).toBe(true);
    aheadMs = 61_000;
    await page.clock.fastForward(61_000);
    await until("it may be tried again", () => button(page, "Sign in").isEnabled());
    await signIn(page, ADMIN);
    await says(page.locator(".listing"), "example.com");
  });

  test("a key that is not accepted any more leads back to signing in", async () => {
    await using proxy = await start(fresh(1));
    await using shown = await signedIn(proxy);
    await shown.page.evaluate("sessionStorage.setItem('codex-proxy.key', 'sk-of-yesterday-1')");
    await shown.page.reload();
    await says(shown.page.locator("#key-fault"), "does not know this key");
  });
});

describe.skipIf(CHROMIUM === null)("accounts", () => {
  test("each is shown with its state, its windows, and when they begin anew", async () => {
    const accounts = fresh(2);
    const [spent, good] = accounts;
    if (spent === undefined || good === undefined) throw new Error("two accounts");
    spent.usage(100, 40, 7200);
    good.usage(12, 80, 7200);
    await using proxy = await start(accounts);
    await using shown = await signedIn(proxy);
    const { page, faults } = shown;
    await button(page, "Read quota").click();
    await says(page.locator(".work"), "2 read");
    const line = await lineOf(page, proxy, spent);
    await says(line, "Resting");
    await says(line, /with quota used up · in 1 h 59 min|with quota used up · in 2 h/);
    const bars = (await lineOf(page, proxy, good)).getByRole("meter");
    expect(await bars.count()).toBe(2);
    expect(await bars.nth(0).getAttribute("aria-label")).toBe("5h window: 12% used");
    expect(await bars.nth(1).getAttribute("aria-valuenow")).toBe("80");
    await says(await lineOf(page, proxy, good), /resets in 1 h 59 min|resets in 2 h/);
    expect(faults).toEqual([]);
  });

  test("they are filtered by state and by text, and come in pages", async () => {
    const accounts = fresh(30);
    await using proxy = await start(accounts);
    await using shown = await signedIn(proxy);
    const { page } = shown;
    await says(page.locator(".pager"), "1–30 of 30");
    await page.locator(".pager select").selectOption("25");
    await says(page.locator(".pager"), "1–25 of 30");
    expect(await page.locator("tbody tr").count()).toBe(25);
    await button(page, "Next page").click();
    await says(page.locator(".pager"), "26–30 of 30");
    expect(await button(page, "Next page").isDisabled()).toBe(true);
    const last = accounts.at(-1);
    await page.getByRole("searchbox").fill(last?.name ?? "");
    await says(page.locator(".pager"), "1–1 of 1");
    await page.getByRole("button", { name: "Disabled" }).click();
    await says(page.locator(".placeholder"), "No account matches");
    await page.getByRole("button", { name: "Ready" }).click();
    await says(page.locator(".pager"), "1–1 of 1");
  });

  test("one account is renewed, read, recovered, switched off and on", async () => {
    const [account] = fresh(1);
    if (account === undefined) throw new Error("one account");
    await using proxy = await start([account]);
    await using shown = await signedIn(proxy);
    const { page, faults } = shown;
    const details = await openDetails(page, proxy, account);
    await button(details, "Renew tokens").click();
    await says(page.locator(".work"), "1 renewed");
    expect(refreshesOf(backend, account)).toBe(1);
    account.usage(63, 10);
    await button(details, "Read quota").click();
    await says(page.locator(".work"), "1 read");
    await says(await lineOf(page, proxy, account), "63%");
    await button(details, "Recover").click();
    await says(page.locator(".work"), "1 recovered");
    await button(details, "Disable").click();
    await says(await lineOf(page, proxy, account), "Disabled");
    expect(await stateOf(proxy, account)).toBe("disabled");
    await button(details, "Enable").click();
    await says(await lineOf(page, proxy, account), "Ready");
    expect(await stateOf(proxy, account)).toBe("ready");
    await says(page.locator(".toasts"), "is enabled");
    expect(faults).toEqual([]);
  });

  test("it is deleted only once that was confirmed", async () => {
    const accounts = fresh(2);
    const [gone, kept] = accounts;
    if (gone === undefined || kept === undefined) throw new Error("two accounts");
    await using proxy = await start(accounts);
    await using shown = await signedIn(proxy);
    const { page } = shown;
    const details = await openDetails(page, proxy, gone);
    await button(details, "Delete").click();
    const dialog = page.getByRole("dialog");
    await says(dialog, gone.name);
    await button(dialog, "Cancel").click();
    await dialog.waitFor({ state: "detached" });
    expect((await filesOf(proxy)).length).toBe(2);
    await button(details, "Delete").click();
    await button(dialog, "Delete").click();
    await says(page.locator(".toasts"), "is deleted");
    await says(page.locator(".pager"), "1–1 of 1");
    expect(await filesOf(proxy)).toEqual([`${kept.name}.json`]);
  });

  test("all are renewed and recovered at once, with progress; recovering asks first", async () => {
    const accounts = fresh(3);
    await using proxy = await start(accounts);
    await using shown = await signedIn(proxy);
    const { page } = shown;
    await button(page, "Renew tokens").click();
    await says(page.locator(".work"), "Renew tokens: done");
    await says(page.locator(".work"), "3 renewed");
    accounts[0]?.revokeRefreshToken();
    accounts[0]?.expireAccessToken();
    await button(page, "Recover").click();
    await button(page.getByRole("dialog"), "Recover").click();
    await says(page.locator(".work"), "Recover: done");
    await button(page.locator(".work"), "Close").click();
    expect(await page.locator(".work").count()).toBe(0);
  });

  test("files are imported by choosing and by dropping them; what cannot be read is told", async () => {
    const [there, chosen, dropped] = fresh(3);
    if (there === undefined || chosen === undefined || dropped === undefined) throw new Error();
    await using proxy = await start([there]);
    await using shown = await signedIn(proxy);
    const { page, faults } = shown;
    await says(page.locator(".pager"), "of 1");
    await button(page, "Add account").click();
    await page.locator("input[type=file]").setInputFiles([
      { name: "one.json", mimeType: "application/json", buffer: jsonOf(chosen) },
      { name: "bad.json", mimeType: "application/json", buffer: Buffer.from("{}") },
      { name: "huge.json", mimeType: "application/json", buffer: Buffer.alloc(1_100_000, " ") },
    ]);
    const dialog = page.getByRole("dialog");
    await says(dialog.locator("li"), /pe\*\*\*@example\.com#\w+\s*added/);
    await says(dialog.locator("li"), /bad\.json\s*failed\s*No account could be read/);
    await says(dialog.locator("li"), /huge\.json\s*failed\s*huge\.json is larger than 1 MiB/);
    await button(dialog, "Close").last().click();
    await says(page.locator(".pager"), "of 2");
    const files = await page.evaluateHandle(
      `(() => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([${JSON.stringify(jsonOf(dropped).toString())}], "two.json"));
        return transfer;
      })()`,
    );
    await page.dispatchEvent("body", "dragover", { dataTransfer: files });
    await page.locator(".dropping").waitFor();
    await page.dispatchEvent("body", "drop", { dataTransfer: files });
    await says(dialog.locator("li"), /added/);
    await button(dialog, "Close").last().click();
    await says(page.locator(".pager"), "of 3");
    expect(faults).toEqual([]);
  });

  test("a browser login ends when its address is pasted; a wrong one is refused", async () => {
    const [account] = fresh(1);
    if (account === undefined) throw new Error("one account");
    await using proxy = await start([]);
    await using shown = await signedIn(proxy);
    const { page, faults } = shown;
    await button(page, "Add account").click();
    await button(page, "Log in with the browser").click();
    const dialog = page.getByRole("dialog");
    const link = dialog.getByRole("link", { name: "Open the login page" });
    const url = (await link.getAttribute("href")) ?? "";
    expect(url).toStartWith(`${backend.issuer}/oauth/authorize`);
    expect(await link.getAttribute("rel")).toBe("noopener noreferrer");
    const back = await browse(url, account.name);
    await dialog.locator("#redirect").fill(back.replace("state=", "state=x"));
    await button(dialog, "Finish").click();
    await says(dialog.locator("#redirect-fault"), "another login");
    await dialog.locator("#redirect").fill(back);
    await button(dialog, "Finish").click();
    await says(dialog, /pe\*\*\*@example\.com#\w+: added/);
    await button(dialog, "Close").last().click();
    await says(page.locator(".pager"), "of 1");
    expect(faults).toEqual([]);
  });

  test("a device login shows its code and ends by itself; one that is left is cancelled", async () => {
    const [account] = fresh(1);
    if (account === undefined) throw new Error("one account");
    await using proxy = await start([]);
    await using shown = await signedIn(proxy);
    const { page, faults } = shown;
    await button(page, "Add account").click();
    await button(page, "Log in with a code").click();
    const dialog = page.getByRole("dialog");
    const code = (await dialog.locator(".user-code").textContent()) ?? "";
    await says(dialog, /Waiting for the login, 1\d min left/);
    await fetch(`${backend.issuer}/codex/device?user_code=${code}&as=${account.name}`);
    await says(dialog, /: added/);
    await button(dialog, "Close").last().click();
    await says(page.locator(".pager"), "of 1");
    await button(page, "Add account").click();
    await button(page, "Log in with a code").click();
    await dialog.locator(".user-code").waitFor();
    await page.keyboard.press("Escape");
    await until("it is cancelled", () => proxy.logs().includes("The login was cancelled"));
    expect(faults).toEqual([]);
  });
});

function jsonOf(account: FakeAccount): Buffer {
  return Buffer.from(JSON.stringify(account.file()));
}

describe.skipIf(CHROMIUM === null)("requests", () => {
  test("they come by themselves, are filtered, held still, and explained", async () => {
    const accounts = fresh(2);
    accounts[0]?.always({ kind: "fault", name: "502-html" });
    await using proxy = await start(accounts);
    await ask(proxy, {}, "first");
    await using shown = await signedIn(proxy, "requests");
    const { page, faults, requests } = shown;
    await says(page.locator(".toolbar"), "Live");
    expect(await page.locator("tbody tr").count()).toBe(1);
    const answer = await ask(proxy, { model: "gpt-5.4-mini" }, "second");
    await says(page.locator("tbody tr").first(), "gpt-5.4-mini");
    await call(proxy, { body: { model: "gpt-5.4", input: 7 } });
    await says(page.locator("tbody tr").first(), "bad-request");
    await page.getByLabel("Failures only").check();
    await until("one is left", async () => (await page.locator("tbody tr").count()) === 1);
    await page.getByLabel("Failures only").uncheck();

    await button(page, "Pause").click();
    await ask(proxy, { model: "gpt-5.1" }, "third");
    await says(page.locator(".toolbar"), "1 new");
    expect(await page.locator("tbody").textContent()).not.toContain("gpt-5.1");
    await button(page, "Resume").click();
    await says(page.locator("tbody tr").first(), "gpt-5.1");

    const id = answer.headers.get("x-request-id") ?? "";
    await page.getByRole("searchbox").fill(id);
    await button(page, `Decision record of ${id}`).click();
    const decision = page.locator(".decision");
    await says(decision, id);
    await says(decision.locator("table", { hasText: "Attempts" }).first(), "served");
    await says(decision, "Choice 1");
    expect(requests.filter((url) => !url.startsWith(proxy.url))).toEqual([]);
    expect(faults).toEqual([]);
  });
});

describe.skipIf(CHROMIUM === null)("keys", () => {
  test("what each has used is shown beside what it may", async () => {
    await using proxy = await start(fresh(1));
    await using shown = await signedIn(proxy);
    const { page, faults } = shown;
    const keys = [
      {
        name: "laptop",
        requests: 12_345,
        refused: 2,
        tokens: { input: 2_000_000 },
        tokens_today: 900,
        tokens_per_day: 1000,
        models: ["gpt-5.4*"],
        rpm: 30,
        expires_at: "2026-01-01T00:00:00Z",
        expired: true,
      },
    ];
    await page.route("**/stats*", async (route) => {
      const body: unknown = await (await route.fetch()).json();
      await route.fulfill({ json: { ...dict(body), keys } });
    });
    await page.getByRole("link", { name: "Keys" }).click();
    const line = page.locator("tbody tr");
    for (const words of ["laptop", "12,345", "2M", "900 of 1,000", "gpt-5.4* · 30 a minute"]) {
      await says(line, words);
    }
    await says(line, /ended \d+ d/);
    expect(await findBarriers(page)).toEqual([]);
    expect(faults).toEqual([]);
  });
});

describe.skipIf(CHROMIUM === null)("charts", () => {
  test("what happened is drawn, and told in numbers", async () => {
    await using proxy = await start(fresh(1));
    for (let at = 0; at < 3; at++) await ask(proxy);
    await call(proxy, { body: { model: "gpt-5.4", input: 7 } });
    await using shown = await signedIn(proxy, "charts");
    const { page, faults } = shown;
    const chart = (title: string) => page.locator("figure", { hasText: title });
    await says(chart("Requests per minute"), /Answered\s*4/);
    await says(chart("Failures per minute"), /Client's mistakes\s*1/);
    await says(chart("Duration of answers"), /Median\s*\d+ ms/);
    await chart("Requests per minute").getByText("As a table").click();
    await says(chart("Requests per minute").locator("tbody tr"), /\d\d:\d\d/);
    const drawn: unknown = await page.evaluate(
      `[...document.querySelectorAll("canvas")].map((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
      })`,
    );
    expect(drawn).toHaveLength(5);
    for (const colours of Array.isArray(drawn) ? drawn : []) expect(colours).toBeGreaterThan(10);
    await button(page, "Last 6 h").click();
    await says(chart("Requests per minute"), /Answered\s*4/);
    expect(faults).toEqual([]);
  });
});

describe.skipIf(CHROMIUM === null)("what others have written is text", () => {
  const BAIT = "<img src=x onerror=window.caught=1>";

  test("in e-mails, files, reasons, models and decision records", async () => {
    made += 1;
    const account = backend.account(`bait-${made}`, {
      email: `<script>window.caught=1</script>${BAIT}@example.com`,
      plan: BAIT,
    });
    await using proxy = await start([]);
    await proxy.put(`${BAIT}.json`, account.file());
    await until("it is there", async () => (await proxy.stats()).accounts.length === 1);
    const fault = { detail: { code: "deactivated_workspace", message: `gone ${BAIT}` } };
    account.script({ kind: "status", status: 403, body: { error: { ...fault.detail } } });
    await ask(proxy, { model: `${BAIT}-model` });
    await using shown = await signedIn(proxy);
    const { page, faults } = shown;
    await says(page.locator(".listing"), "<s***");
    await says(page.locator(".listing"), BAIT);
    await page.locator(".opener button").first().click();
    await says(page.locator("tr.details"), `${BAIT}.json`);
    await button(page.locator("tr.details"), "Delete").click();
    await says(page.getByRole("dialog"), BAIT);
    await page.keyboard.press("Escape");
    await page.getByRole("link", { name: "Requests" }).click();
    await says(page.locator(".listing"), `${BAIT}-model`);
    await page.locator(".opener button").first().click();
    await page.locator(".decision").waitFor();
    expect(await page.locator("main img, main script, main b").count()).toBe(0);
    expect(await page.evaluate("window.caught")).toBeUndefined();
    expect(faults).toEqual([]);
  });

  test("the policy of the page would not run it, either", async () => {
    await using proxy = await start(fresh(1));
    await using shown = await visit(browser, proxy.url);
    const { page } = shown;
    await page.locator("#key").waitFor();
    const refused: unknown = await page.evaluate(
      `(() => {
        const tries = [
          () => { document.body.innerHTML = "<b>x</b>"; },
          () => { document.head.append(Object.assign(document.createElement("script"), { text: "window.caught = 1" })); },
        ];
        return tries.map((attempt) => { try { attempt(); return "ran"; } catch (error) { return error.name; } });
      })()`,
    );
    expect(refused).toEqual(["TypeError", "TypeError"]);
    expect(await page.evaluate("window.caught")).toBeUndefined();
  });
});

describe.skipIf(CHROMIUM === null)("for everybody", () => {
  const LOOKS = [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["light, on a phone", { colorScheme: "light", viewport: PHONE, hasTouch: true }],
    ["dark, in Chinese, on a phone", { colorScheme: "dark", viewport: PHONE, locale: "zh-CN" }],
  ] as const;

  test.each(LOOKS)("axe finds no barrier, and nothing is too wide: %s", async (_name, look) => {
    const accounts = fresh(3);
    const [spent, off] = accounts;
    spent?.usage(100, 97, 7200);
    await using proxy = await start(accounts);
    for (let at = 0; at < 4; at++) await ask(proxy, {}, `talk-${at}`);
    await call(proxy, { body: { model: "gpt-5.4", input: 7 } });
    await adminPost(proxy, "/check-quota");
    await adminPost(
      proxy,
      `/admin/accounts/${String((await proxy.stats()).of(off ?? { name: "" }).whole["id"])}/disable`,
    );
    await using shown = await visit(browser, proxy.url, look);
    const { page, faults } = shown;
    const found: string[] = [];
    const check = async (where: string): Promise<void> => {
      found.push(...(await findBarriers(page)).map((barrier) => `${where}: ${barrier}`));
      const pixels = await overhang(page);
      if (pixels > 0) found.push(`${where}: ${pixels} px too wide`);
    };
    await signIn(page, "sk-a-wrong-key-1");
    await says(page.locator("#key-fault"), /./);
    await check("signing in");
    await signIn(page, ADMIN);
    await page.locator(".listing").waitFor();
    await page.locator(".opener button").first().click();
    await page.locator("tr.details button").nth(1).click();
    await page.locator(".work .icon").waitFor();
    await check("accounts");
    await page.locator("tr.details .danger").click();
    await page.getByRole("dialog").waitFor();
    await check("deleting");
    await page.keyboard.press("Escape");
    await page.locator(".toolbar .primary").click();
    await check("adding");
    await page.locator(".choices > button").nth(1).click();
    await page.locator(".user-code").waitFor();
    await check("a device login");
    await page.keyboard.press("Escape");
    await page.locator("nav a").nth(1).click();
    await page.locator(".opener button").nth(1).click();
    await page.locator(".decision").waitFor();
    await check("requests");
    await page.locator("nav a").nth(2).click();
    await page.locator("summary").first().click();
    await page.locator("canvas").first().waitFor();
    await check("charts");
    expect(found).toEqual([]);
    expect(faults).toEqual([]);
  });

  test("the colours follow the system, and a choice of one's own wins and lasts", async () => {
    await using proxy = await start(fresh(1));
    await using shown = await visit(browser, proxy.url, { colorScheme: "dark" });
    const { page } = shown;
    const ground = async () =>
      String(await page.evaluate("getComputedStyle(document.body).backgroundColor"));
    await page.locator("#key").waitFor();
    const dark = await ground();
    await page.getByLabel("Colours").selectOption("light");
    await until("it is light", async () => (await ground()) !== dark);
    const light = await ground();
    await page.reload();
    await page.locator("#key").waitFor();
    await until("it stays light", async () => (await ground()) === light);
  });

  test("the browser's language is spoken, and a choice of one's own wins and lasts", async () => {
    await using proxy = await start(fresh(1));
    await using shown = await visit(browser, proxy.url, { locale: "zh-CN" });
    const { page } = shown;
    await says(page.locator("h1"), "登录");
    expect(await page.evaluate("document.documentElement.lang")).toBe("zh-CN");
    await signIn(page, ADMIN);
    await says(page.locator("nav"), "账号");
    await says(page.locator(".listing"), "可用");
    await page.getByLabel("语言").selectOption("en");
    await says(page.locator("nav"), "Accounts");
    await page.reload();
    await says(page.locator("nav"), "Accounts");
    expect(await page.evaluate("document.documentElement.lang")).toBe("en");
  });

  test("the keyboard does it all, and always sees where it is", async () => {
    await using proxy = await start(fresh(1));
    await using shown = await visit(browser, proxy.url);
    const { page, faults } = shown;
    await page.locator("#key").waitFor();
    // The field has the focus at once.
    await page.keyboard.type(ADMIN);
    await page.keyboard.press("Enter");
    await page.locator(".listing").waitFor();
    await page.reload();
    await page.locator(".listing").waitFor();
    const focus = async (): Promise<string> => {
      const told: unknown = await page.evaluate(
        `(() => {
          const it = document.activeElement;
          const { outlineStyle, outlineWidth } = getComputedStyle(it);
          const name = it.getAttribute("aria-label") ?? it.textContent;
          return name.trim() + "|" + (outlineStyle !== "none" && parseFloat(outlineWidth) >= 2);
        })()`,
      );
      return String(told);
    };
    const seen: string[] = [];
    for (let steps = 0; steps < 40; steps++) {
      await page.keyboard.press("Tab");
      const now = await focus();
      seen.push(now);
      if (now.startsWith("Details of")) break;
    }
    expect(seen[0]).toBe("Skip to the content|true");
    expect(seen.filter((one) => !one.endsWith("|true"))).toEqual([]);
    for (const name of ["Requests", "Colours", "Search", "Ready 1", "Read quota", "Add account"]) {
      expect(seen).toContain(`${name}|true`);
    }
    await page.keyboard.press("Enter");
    const danger = button(page.locator("tr.details"), "Delete");
    await danger.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(await focus()).toBe("Delete|true");
    expect(faults).toEqual([]);
  });
});

function adminPost(proxy: TestProxy, path: string): Promise<Response> {
  return fetch(`${proxy.url}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${ADMIN}` },
  });
}

describe.skipIf(CHROMIUM === null)("the executable", () => {
  test("has the page in it; while it restarts the page says so, and comes back by itself", async () => {
    const authDir = makeFolder();
    const [first, second] = fresh(2);
    if (first === undefined || second === undefined) throw new Error("two accounts");
    const setup = { backend, accounts: [first], authDir, binary: true };
    const config = { "admin-key": ADMIN, "shutdown-timeout": 20 };
    const before = await startProxy({ ...setup, config });
    const listen = new URL(before.url).host;
    await using shown = await signedIn(before, "requests");
    const { page, faults } = shown;
    await says(page.locator(".toolbar"), "Live");
    await page.getByRole("link", { name: "Accounts" }).click();
    await says(page.locator(".pager"), "of 1");
    await page.getByRole("link", { name: "Requests" }).click();
    await says(page.locator(".toolbar"), "Live");
    const startedMs = performance.now();
    await before.stop();
    // Whoever watches requests does not keep the end waiting.
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    await says(page.locator(".banner"), "does not answer");
    await writeFile(join(authDir, "second.json"), JSON.stringify(second.file()), { mode: 0o600 });
    await using after = await startProxy({ ...setup, config: { ...config, listen } });
    await page.locator(".banner").waitFor({ state: "detached" });
    await says(page.locator(".toolbar"), "Live");
    await ask(after, { model: "gpt-5.5" });
    await says(page.locator("tbody tr").first(), "gpt-5.5");
    await page.getByRole("link", { name: "Accounts" }).click();
    await says(page.locator(".pager"), "of 2");
    expect(faults).toEqual([]);
  });
});
